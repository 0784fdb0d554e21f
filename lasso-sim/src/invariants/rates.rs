//! Invariant 8, for the number of events that a viewer gets: no more than its rate and its queue allow, and it
//! learns how many it lost.
//!
//! 1. A viewer that reads at once gets no more events in any period than its rate allows, plus a second's
//!    worth. Any other viewer gets no more than that in total, and no more at once than its queue holds.
//! 2. An event published for its scope, while both nodes and their link were well, arrives or is reported as
//!    lost. A node whose table of topics may be full refuses the interest of others, so its events are not
//!    owed.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lasso_core::events::Scope;
use lasso_core::events::topics::Segment;
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::facts::Facts;
use super::invariant::{Entry, Invariant, Moment};
use super::{Member, Witness};
use crate::app::Saw;
use crate::app::events::{Emission, EventSaw, Looked, Sight};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 8,
    name: "rates",
    make: |_| Box::<Rates>::default(),
};

/// A scope of a profile.
type Place = (Segment, Option<Segment>);

/// See the module's text.
#[derive(Debug, Default)]
struct Rates {
    viewers: BTreeMap<(NodeId, u32), Viewer>,
    /// The ids published for each scope: a viewer sees an id once.
    ids: BTreeMap<Place, BTreeSet<Label>>,
    /// Events that should arrive at a viewer, in the order of their publishing.
    under_way: VecDeque<Sent>,
}

/// An event for a viewer.
#[derive(Debug)]
struct Sent {
    at: Instant,
    by: NodeId,
    incarnation: u64,
    to: (NodeId, u32),
}

#[derive(Debug)]
struct Viewer {
    name: String,
    place: Place,
    at_once: bool,
    since: Instant,
    /// The available tokens, in billionths, and the time.
    level: u128,
    filled_at: Instant,
    /// The events that it got, that it was told it had lost, and those in its snapshot.
    got: u64,
    lost: u64,
    in_snapshot: u64,
    /// The number of events that should have arrived at it.
    due: u64,
}

impl Invariant for Rates {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.forget(at.node);
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
                let rate = at.facts.cast.actor(at.node).settings.events.viewer_rate;
                let viewer_of = Viewer {
                    name: name.clone(),
                    place: place_of(what),
                    at_once: *at_once,
                    since: at.now,
                    level: u128::from(rate) * TOKEN,
                    filled_at: at.now,
                    got: 0,
                    lost: 0,
                    in_snapshot: 0,
                    due: 0,
                };
                self.viewers.insert((at.node, *viewer), viewer_of);
            }
            EventSaw::Refused { viewer, .. } | EventSaw::Left { viewer } => {
                self.viewers.remove(&(at.node, *viewer));
            }
            EventSaw::Emitted { emission, result } => {
                if matches!(result, Ok(Some(_))) {
                    self.emitted(at, emission);
                }
            }
            EventSaw::Seen { viewer, sight } => self.seen(at, *viewer, sight),
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.under_way.front().map(|sent| sent.at + UNDER_WAY)
    }

    /// Judges each event when it must have arrived: later faults are no excuse.
    fn advance(&mut self, at: &mut Moment<'_>, _: &dyn Witness) {
        while let Some(sent) = self.under_way.front()
            && sent.at + UNDER_WAY <= at.now
        {
            let has_come = has_come(at.facts, at.now, sent);
            if let Some(viewer) = self.viewers.get_mut(&sent.to)
                && viewer.since <= sent.at
            {
                viewer.due += u64::from(has_come);
            }
            self.under_way.pop_front();
        }
    }

    fn unsettled(&self, now: Instant, facts: &Facts, _: &[Member]) -> Option<(NodeId, String)> {
        self.viewers.iter().find_map(|((node, number), viewer)| {
            let actor = facts.cast.actor(*node);
            if !viewer.at_once || !actor.running || actor.paused {
                return None;
            }
            let own = |sent: &&Sent| sent.to == (*node, *number) && viewer.since <= sent.at;
            let still = self.under_way.iter().filter(own);
            let due = still.filter(|sent| has_come(facts, now, sent)).count() as u64;
            let (due, had) = (viewer.due + due, viewer.got + viewer.lost);
            (had < due).then(|| {
                let text = format!(
                    "what does not come to a viewer is told as lost; viewer `{}` at {} got {} and was \
                     told of {} lost, of {due}",
                    viewer.name, actor.name, viewer.got, viewer.lost
                );
                (*node, text)
            })
        })
    }
}

impl Rates {
    fn forget(&mut self, node: NodeId) {
        self.viewers.retain(|(of, _), _| *of != node);
    }

    /// A node has published an event; an account's event counts for two scopes.
    fn emitted(&mut self, at: &mut Moment<'_>, emission: &Emission) {
        let Some(id) = &emission.id else {
            return;
        };
        let profile = emission.emit.profile.clone();
        let own = emission.account().cloned();
        let mut places = vec![(profile.clone(), None)];
        places.extend(own.map(|account| (profile, Some(account))));
        for place in places {
            let is_new = self
                .ids
                .entry(place.clone())
                .or_default()
                .insert(id.clone());
            let viewers = self.viewers.iter();
            for (to, viewer) in viewers.filter(|(_, viewer)| viewer.place == place) {
                if is_new && viewer.at_once && knows(at.facts, at.now, at.node, to.0, viewer.since)
                {
                    self.under_way.push_back(Sent {
                        at: at.now,
                        by: at.node,
                        incarnation: at.facts.cast.actor(at.node).incarnation,
                        to: *to,
                    });
                }
            }
        }
    }

    fn seen(&mut self, at: &mut Moment<'_>, number: u32, sight: &Sight) {
        let (now, node, facts) = (at.now, at.node, at.facts);
        let Some(viewer) = self.viewers.get_mut(&(node, number)) else {
            return;
        };
        let count = sight.events.len() as u64;
        (viewer.got, viewer.lost) = (viewer.got + count, viewer.lost + sight.lost);
        if sight.is_first {
            // A snapshot shows older events, which no node sent for this viewer.
            viewer.in_snapshot = count;
            return;
        }
        let actor = facts.cast.actor(node);
        let settings = &actor.settings.events;
        let (rate, queue) = (settings.viewer_rate, settings.viewer_queue as u64);
        let (in_rate, name) = (
            viewer.takes(now, rate, count, facts.slack),
            viewer.name.clone(),
        );
        at.demand(in_rate, || {
            format!(
                "a viewer gets no more than its rate; `{name}` at {} gets {count} events, and {rate} a \
                 second may come",
                actor.name
            )
        });
        at.demand(count <= queue, || {
            format!(
                "a viewer gets no more than its queue holds; `{name}` at {} gets {count} events, of \
                 {queue}",
                actor.name
            )
        });
    }
}

impl Viewer {
    /// Whether it may get this number now.
    fn takes(&mut self, now: Instant, rate: u32, count: u64, slack: Duration) -> bool {
        let rate = u128::from(rate);
        if !self.at_once {
            let lasted = (now - self.since + slack).as_nanos();
            return u128::from(self.got - self.in_snapshot) * TOKEN <= rate * (lasted + TOKEN);
        }
        let ahead = rate * (TOKEN + slack.as_nanos());
        let filled = (now - self.filled_at).as_nanos() * rate;
        self.level = (self.level + filled).min(ahead);
        self.filled_at = now;
        let wanted = u128::from(count) * TOKEN;
        let may = wanted <= self.level;
        self.level = self.level.saturating_sub(wanted);
        may
    }
}

/// Whether an event must have arrived by now or been reported as lost: it was published long ago, its source
/// lives, and nothing has hindered its way since.
fn has_come(facts: &Facts, now: Instant, sent: &Sent) -> bool {
    let (source, node) = (sent.by, sent.to.0);
    let lives = facts.cast.actor(source).incarnation == sent.incarnation;
    let since = |since: Option<Instant>| since.is_some_and(|since| since <= sent.at);
    let calm = source == node || since(facts.calm_since(source, node));
    let well = since(facts.cast.undisturbed_since(node, node));
    lives && calm && well && sent.at + UNDER_WAY <= now
}

/// Whether the publisher knows that a node wants the scope of a viewer.
fn knows(facts: &Facts, now: Instant, source: NodeId, node: NodeId, since: Instant) -> bool {
    if source != node && !facts.has_room_for(facts.published.topics()) {
        return false;
    }
    let linked = if source == node {
        Some(since)
    } else {
        facts.linked_since(source, node)
    };
    linked.is_some_and(|linked| linked.max(since) + ASKED <= now)
}

fn place_of(what: &Looked) -> Place {
    let account = match &what.scope {
        Scope::Profile => None,
        Scope::Account(account) => Some(account.clone()),
    };
    (what.profile.clone(), account)
}

/// Billionths in a token.
const TOKEN: u128 = 1_000_000_000;
/// An event published this long ago has arrived, or its loss was reported.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// Once a viewer and its node's links are this old, others know its interest.
const ASKED: Duration = Duration::from_secs(5);
