//! Invariant 8: a viewer never sees an event id twice within the window, nor another account's event,
//! nor one that nobody published; nor figures or states that are made of what is not its own to see.
//!
//! Whose an event is, is known from who published it, not from what the event says; a scenario that
//! gives one id to two owners is found out, as nothing could be said about it. The window counts
//! from when an event came; it is seen up to a batch and what the world is late by after that, so the
//! window is taken for a second shorter, and of viewers that do not read at once nothing is said about
//! ids. No more ids are held against a viewer than its node remembers.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use lasso_core::events::Scope;
use lasso_core::events::topics::Segment;
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::Found;
use super::cast::Cast;
use super::shown::Shown;
use crate::app::events::{Emission, EventSaw, Looked, Sight};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const NUMBER: u32 = 8;
/// A batch waits for half of it; the rest is for worlds that are late.
const SLACK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Watched {
    name: String,
    what: Looked,
    at_once: bool,
    /// When each id was seen last.
    seen: BTreeMap<Label, Instant>,
    /// The same by time: what is out of the window is forgotten.
    order: VecDeque<(Instant, Label)>,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Viewers {
    watched: BTreeMap<(NodeId, u32), Watched>,
    /// Whose each event is: profile and account.
    owners: BTreeMap<Label, (Segment, Option<Segment>)>,
    /// By node: for how long, and how many, ids are remembered.
    windows: BTreeMap<NodeId, (Duration, usize)>,
    /// What figures and states may say.
    pub(super) shown: Shown,
}

impl Viewers {
    pub(super) fn new(shown: Shown) -> Self {
        Viewers {
            watched: BTreeMap::new(),
            owners: BTreeMap::new(),
            windows: BTreeMap::new(),
            shown,
        }
    }

    /// A process begins.
    pub(super) fn started(&mut self, node: NodeId, spec: &NodeSpec) {
        self.forget(node);
        let events = &spec.settings.events;
        self.windows
            .insert(node, (events.dedup_window, events.dedup_max));
        self.shown.started(node, spec);
    }

    /// A process begins or ends: its viewers are gone.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.watched.retain(|(of, _), _| *of != node);
    }

    pub(super) fn saw(
        &mut self,
        now: Instant,
        cast: &Cast,
        node: NodeId,
        saw: &EventSaw,
        found: &mut Vec<Found>,
    ) {
        match saw {
            EventSaw::Viewing {
                viewer,
                name,
                what,
                at_once,
            } => {
                self.shown.viewing(node, *viewer, what);
                let watched = Watched {
                    name: name.clone(),
                    what: what.clone(),
                    at_once: *at_once,
                    seen: BTreeMap::new(),
                    order: VecDeque::new(),
                };
                self.watched.insert((node, *viewer), watched);
            }
            EventSaw::Refused { viewer, .. } | EventSaw::Left { viewer } => {
                let refused = matches!(saw, EventSaw::Refused { .. });
                if let Some(watched) = self.watched.remove(&(node, *viewer)) {
                    let what = &watched.what;
                    self.shown.gone(now, node, *viewer, what, refused);
                }
            }
            EventSaw::Emitted { emission, result } => {
                found.extend(self.given_away(emission));
                if !matches!(result, Ok(None)) {
                    self.shown.emitted(now, node, emission);
                }
            }
            EventSaw::Seen { viewer, sight } => {
                let window = self.windows.get(&node).copied().unwrap_or_default();
                if let Some(watched) = self.watched.get_mut(&(node, *viewer)) {
                    let name = &cast.actor(node).name;
                    let mut wrong = |what: String| {
                        let text = format!("viewer `{}` at {name} {what}", watched.name);
                        found.push((NUMBER, text));
                    };
                    foreign(&watched.what, &self.owners, sight, &mut wrong);
                    self.shown.saw(now, node, &watched.what, sight, &mut wrong);
                    if let Some(id) = watched.again(now, window, sight) {
                        let text = format!("viewer `{}` at {name} sees {id} twice", watched.name);
                        found.push((NUMBER, text));
                    }
                }
            }
        }
    }

    /// Notes whose an event is. Of two owners nobody could tell whose event is seen.
    fn given_away(&mut self, emission: &Emission) -> Option<Found> {
        let id = emission.id.as_ref()?;
        let owner = (emission.emit.profile.clone(), emission.account().cloned());
        let first = self.owners.entry(id.clone());
        let first = first.or_insert_with(|| owner.clone());
        let text = || format!("{id} is published for {first:?} and for {owner:?}");
        (*first != owner).then(|| (NUMBER, text()))
    }
}

/// Events that are not the viewer's to see.
fn foreign(
    what: &Looked,
    owners: &BTreeMap<Label, (Segment, Option<Segment>)>,
    sight: &Sight,
    wrong: &mut impl FnMut(String),
) {
    for (id, account, _) in &sight.events {
        let Some(id) = id else {
            wrong("sees an event that is no request".to_owned());
            continue;
        };
        let Some((profile, owner)) = owners.get(id) else {
            wrong(format!("sees {id}, which nobody published"));
            continue;
        };
        let is_own = match &what.scope {
            Scope::Profile => account.is_none(),
            Scope::Account(own) => owner.as_ref() == Some(own) && account.as_ref() == Some(own),
        };
        if !is_own || *profile != what.profile {
            wrong(format!(
                "sees {id} of {profile}, {owner:?}, as one of {account:?}"
            ));
        }
    }
}

impl Watched {
    /// An id that was seen within the window before.
    fn again(
        &mut self,
        now: Instant,
        (window, max): (Duration, usize),
        sight: &Sight,
    ) -> Option<Label> {
        if !self.at_once {
            return None;
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
        let mut twice = None;
        for id in sight.events.iter().filter_map(|(id, ..)| id.as_ref()) {
            self.order.push_back((now, id.clone()));
            if self.seen.insert(id.clone(), now).is_some() {
                twice = Some(id.clone());
            }
        }
        twice
    }
}
