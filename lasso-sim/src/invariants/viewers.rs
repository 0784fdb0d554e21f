//! Invariant 8: a viewer never sees an event id twice within the window, nor another account's event,
//! nor one that was not published. `shown.rs` checks figures and states.
//!
//! The owner of an event is the account it was published for, not the account that the event names. A scenario
//! that gives one id to two owners fails, because no check could distinguish them. The window begins when an
//! event arrives. The viewer shows the event up to a batch and the world's slack later, so the window counts a
//! second shorter here, and ids of viewers that do not read at once are not checked. A node remembers a bounded
//! number of ids: after as many others have arrived, it may show an event again. This file does not know which
//! events arrived at a node, and a viewer does not see all of them. So it counts the copies that the whole
//! cluster emitted since, and those that may still have been under way: an event may be shown again only after
//! as many as the node remembers. The window is the node's, and a snapshot may show an event that arrived long
//! ago: an id that was emitted again after a window, and after the viewer saw it, may be shown once more.

use core::fmt;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lasso_core::events::Scope;
use lasso_core::events::topics::Segment;
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::invariant::{Entry, Invariant, Moment};
use crate::app::Saw;
use crate::app::events::{Emission, EventSaw, Looked, Sight};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 8,
    name: "viewers",
    make: |_| Box::<Viewers>::default(),
};
/// A batch waits for half of it; the rest is for worlds that are late.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Watched {
    name: String,
    what: Looked,
    at_once: bool,
    /// When each id was seen last.
    seen: BTreeMap<Label, Instant>,
    /// The same by time, to forget what is out of the window.
    order: VecDeque<(Instant, Label)>,
    /// Ids that were shown again because they were emitted again a window later.
    anew: BTreeSet<Label>,
}

/// One emitted event.
#[derive(Debug)]
struct Emitted {
    at: Instant,
    id: Label,
    account: Option<Segment>,
}

/// See the module's text.
#[derive(Debug, Default)]
struct Viewers {
    watched: BTreeMap<(NodeId, u32), Watched>,
    /// The owner of each event: profile and account.
    owners: BTreeMap<Label, (Segment, Option<Segment>)>,
    /// When each id was first emitted.
    first_emitted: BTreeMap<Label, Instant>,
    /// By profile: the id and the account of each event that was emitted.
    emitted: BTreeMap<Segment, VecDeque<Emitted>>,
    /// By node: how long, and how many, ids are remembered.
    windows: BTreeMap<NodeId, (Duration, usize)>,
}

impl Invariant for Viewers {
    fn started(&mut self, at: &mut Moment<'_>, spec: &NodeSpec) {
        self.forget(at.node);
        let events = &spec.settings.events;
        self.windows
            .insert(at.node, (events.dedup_window, events.dedup_max));
    }

    fn ended(&mut self, at: &mut Moment<'_>) {
        self.forget(at.node);
    }

    fn saw(&mut self, at: &mut Moment<'_>, saw: &Saw) {
        let Saw::Events(saw) = saw else {
            return;
        };
        match saw {
            EventSaw::Viewing {
                viewer,
                name,
                what,
                at_once,
            } => {
                let watched = Watched {
                    name: name.clone(),
                    what: what.clone(),
                    at_once: *at_once,
                    seen: BTreeMap::new(),
                    order: VecDeque::new(),
                    anew: BTreeSet::new(),
                };
                self.watched.insert((at.node, *viewer), watched);
            }
            EventSaw::Refused { viewer, .. } | EventSaw::Left { viewer } => {
                self.watched.remove(&(at.node, *viewer));
            }
            EventSaw::Emitted { emission, .. } => self.emitted(at, emission),
            EventSaw::Seen { viewer, sight } => self.seen(at, *viewer, sight),
        }
    }
}

impl Viewers {
    /// A process begins or ends: its viewers are gone.
    fn forget(&mut self, node: NodeId) {
        self.watched.retain(|(of, _), _| *of != node);
    }

    fn seen(&mut self, at: &mut Moment<'_>, viewer: u32, sight: &Sight) {
        let window = self.windows.get(&at.node).copied().unwrap_or_default();
        let Some(watched) = self.watched.get_mut(&(at.node, viewer)) else {
            return;
        };
        let (now, at_name) = (at.now, &at.facts.cast.actor(at.node).name);
        let name = watched.name.clone();
        let mut demand = |holds: bool, what: fmt::Arguments<'_>| {
            at.demand(holds, || format!("viewer `{name}` at {at_name} {what}"));
        };
        foreign(&watched.what, &self.owners, sight, &mut demand);
        let mut again = watched.again(now, window, sight);
        let emitted = self.emitted.get(&watched.what.profile);
        again.retain(|(id, then)| {
            let Some((all, first)) = emitted.zip(self.first_emitted.get(id)) else {
                return true;
            };
            // Copies under way when the viewer saw the first event may arrive after it, once.
            let slack = if watched.anew.contains(id) {
                Duration::ZERO
            } else {
                SLACK
            };
            let is_anew = is_anew(all, (*first, window.0), id, *then, slack);
            if is_anew {
                watched.anew.insert(id.clone());
            }
            !is_anew
        });
        let twice = again.iter().find(|(id, then)| {
            let scope = &watched.what.scope;
            let others = emitted.map_or(0, |all| others(all, (*then, window.0), id, scope));
            others < window.1
        });
        let id = twice.map_or("", |(id, _)| id.as_str());
        demand(twice.is_none(), format_args!("sees {id} twice"));
    }

    /// Notes the owner of an event. With two owners of one id, no check could decide whose event a viewer
    /// shows.
    fn emitted(&mut self, at: &mut Moment<'_>, emission: &Emission) {
        let Some(id) = emission.id.as_ref() else {
            return;
        };
        let owner = (emission.emit.profile.clone(), emission.account().cloned());
        let all = self.emitted.entry(emission.emit.profile.clone());
        let all = all.or_default();
        // Twice the longest window: events emitted a window before an event that is a window old.
        let longest = self.windows.values().map(|(window, _)| *window * 2).max();
        let longest = longest.unwrap_or_default();
        while all.front().is_some_and(|event| at.now - event.at > longest) {
            all.pop_front();
        }
        all.push_back(Emitted {
            at: at.now,
            id: id.clone(),
            account: emission.account().cloned(),
        });
        self.first_emitted.entry(id.clone()).or_insert(at.now);
        let first = self.owners.entry(id.clone());
        let first = first.or_insert_with(|| owner.clone());
        at.demand(*first == owner, || {
            format!("{id} is published for {first:?} and for {owner:?}")
        });
    }
}

/// How many events of that scope, other than this one, were emitted since then or within a window before.
fn others(
    all: &VecDeque<Emitted>,
    (then, window): (Instant, Duration),
    id: &Label,
    scope: &Scope,
) -> usize {
    let counts = |event: &&Emitted| {
        let of_scope = match scope {
            Scope::Profile => true,
            Scope::Account(own) => event.account.as_ref() == Some(own),
        };
        of_scope && event.id != *id
    };
    let recent = all.iter().rev();
    let recent = recent.take_while(|event| event.at + window >= then);
    recent.filter(counts).count()
}

/// Whether this id was emitted again since then, when nodes had forgotten the first event with it.
fn is_anew(
    all: &VecDeque<Emitted>,
    (first, window): (Instant, Duration),
    id: &Label,
    then: Instant,
    slack: Duration,
) -> bool {
    let newest = all.iter().rev().find(|event| event.id == *id);
    newest.is_some_and(|event| event.at + slack >= then && event.at + SLACK >= first + window)
}

/// Events that the viewer may not see.
fn foreign(
    what: &Looked,
    owners: &BTreeMap<Label, (Segment, Option<Segment>)>,
    sight: &Sight,
    demand: &mut impl FnMut(bool, fmt::Arguments<'_>),
) {
    for (id, account, _) in &sight.events {
        let Some(id) = id else {
            demand(false, format_args!("sees an event that is no request"));
            continue;
        };
        let Some((profile, owner)) = owners.get(id) else {
            demand(false, format_args!("sees {id}, which nobody published"));
            continue;
        };
        let is_own = match &what.scope {
            Scope::Profile => account.is_none(),
            Scope::Account(own) => owner.as_ref() == Some(own) && account.as_ref() == Some(own),
        };
        demand(
            is_own && *profile == what.profile,
            format_args!("sees {id} of {profile}, {owner:?}, as one of {account:?}"),
        );
    }
}

impl Watched {
    /// The ids that were seen within the window before, and when.
    fn again(
        &mut self,
        now: Instant,
        (window, max): (Duration, usize),
        sight: &Sight,
    ) -> Vec<(Label, Instant)> {
        let mut again = Vec::new();
        if !self.at_once {
            return again;
        }
        let window = window.saturating_sub(SLACK);
        while let Some((at, id)) = self.order.front()
            && (now - *at >= window || self.order.len() > max)
        {
            if self.seen.get(id) == Some(at) {
                self.seen.remove(id);
            }
            self.order.pop_front();
        }
        for id in sight.events.iter().filter_map(|(id, ..)| id.as_ref()) {
            self.order.push_back((now, id.clone()));
            if let Some(then) = self.seen.insert(id.clone(), now) {
                again.push((id.clone(), then));
            }
        }
        again
    }
}
