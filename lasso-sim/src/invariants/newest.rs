//! Invariant 8, for slow viewers: a full queue keeps the newest events.
//!
//! A viewer's queue holds events in order of arrival. So when a full queue is read and some were lost, everything
//! that arrived after the first shown event is shown too. This file knows when events were published, and
//! considers those that were certainly later. It judges only events that no rate, full lane or fault can have held
//! back.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lasso_core::events::Scope;
use lasso_core::events::topics::Segment;
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::facts::Facts;
use super::invariant::{Entry, Invariant, Moment};
use crate::app::Saw;
use crate::app::events::{Emission, EventSaw, Looked, Sight};
use crate::scenario::{NodeId, NodeSpec};

pub(super) const ENTRY: Entry = Entry {
    number: 8,
    name: "newest",
    make: |_| Box::<Newest>::default(),
};

/// A scope of a profile.
type Place = (Segment, Option<Segment>);

/// See the module's text.
#[derive(Debug, Default)]
struct Newest {
    published: BTreeMap<Place, Published>,
    /// The name of each viewer that reads at a pace, and its scope.
    viewers: BTreeMap<(NodeId, u32), (String, Place)>,
}

/// The last events published for a place.
#[derive(Debug, Default)]
struct Published {
    events: VecDeque<Event>,
    ids: BTreeSet<Label>,
    /// When a lane was last too full for one.
    shed: Option<Instant>,
}

#[derive(Debug)]
struct Event {
    id: Label,
    at: Instant,
    by: NodeId,
}

impl Invariant for Newest {
    fn started(&mut self, at: &mut Moment<'_>, _: &NodeSpec) {
        self.viewers.retain(|(of, _), _| *of != at.node);
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
                at_once: false,
            } => {
                let viewing = (name.clone(), place_of(what));
                self.viewers.insert((at.node, *viewer), viewing);
            }
            EventSaw::Viewing { .. } => {}
            EventSaw::Refused { viewer, .. } | EventSaw::Left { viewer } => {
                self.viewers.remove(&(at.node, *viewer));
            }
            EventSaw::Emitted { emission, result } => {
                if let Ok(Some(reach)) = result {
                    self.emitted(at, emission, reach.shed > 0);
                }
            }
            EventSaw::Seen { viewer, sight } => self.seen(at, *viewer, sight),
        }
    }
}

impl Newest {
    fn emitted(&mut self, at: &Moment<'_>, emission: &Emission, shed: bool) {
        let Some(id) = &emission.id else {
            return;
        };
        let profile = emission.emit.profile.clone();
        let own = emission.account().cloned();
        let mut places = vec![(profile.clone(), None)];
        places.extend(own.map(|account| (profile, Some(account))));
        for place in places {
            let published = self.published.entry(place).or_default();
            if shed {
                published.shed = Some(at.now);
            }
            published.add(Event {
                id: id.clone(),
                at: at.now,
                by: at.node,
            });
        }
    }

    fn seen(&self, at: &mut Moment<'_>, number: u32, sight: &Sight) {
        let (facts, node) = (at.facts, at.node);
        let Some((name, place)) = self.viewers.get(&(node, number)) else {
            return;
        };
        let Some(published) = self.published.get(place) else {
            return;
        };
        let actor = facts.cast.actor(node);
        let events = &actor.settings.events;
        let is_full = sight.events.len() == events.viewer_queue;
        if sight.is_first || sight.lost == 0 || !is_full {
            return;
        }
        let late = events.batch_interval + LATE + facts.slack;
        let shown: BTreeSet<&Label> = sight
            .events
            .iter()
            .filter_map(|(id, ..)| id.as_ref())
            .collect();
        let Some(missing) = published.missing(facts, at.now, node, &shown, late) else {
            return;
        };
        at.demand(missing.is_none(), || {
            format!(
                "a full queue keeps the newest; viewer `{name}` at {} is not shown {missing:?}, which came \
                 after events that are",
                actor.name
            )
        });
    }
}

impl Published {
    fn add(&mut self, event: Event) {
        // The order of arrival of two copies of one event is unknown.
        if !self.ids.insert(event.id.clone()) {
            self.events.retain(|known| known.id != event.id);
            return;
        }
        self.events.push_back(event);
        if self.events.len() > KEPT
            && let Some(old) = self.events.pop_front()
        {
            self.ids.remove(&old.id);
        }
    }

    /// An event that is not shown although it arrived after a shown one. `None`: unknown.
    fn missing(
        &self,
        facts: &Facts,
        now: Instant,
        node: NodeId,
        shown: &BTreeSet<&Label>,
        late: Duration,
    ) -> Option<Option<&Label>> {
        let first = self.events.iter().find(|event| shown.contains(&event.id))?;
        let since = first.at;
        let is_calm = |event: &Event| {
            let calm = match event.by == node {
                true => facts.cast.undisturbed_since(node, node),
                false => facts.calm_since(event.by, node),
            };
            calm.is_some_and(|calm| calm + late <= since)
        };
        let rate = facts.cast.actor(node).settings.events.viewer_rate as usize;
        let later = || self.events.iter().filter(|event| event.at >= since);
        let is_certain = self.shed.is_none_or(|shed| shed + late < since)
            && later().all(is_calm)
            && !self.is_faster(rate, SECOND + late);
        is_certain.then(|| {
            let came = |event: &&Event| event.at > since + late && event.at + late < now;
            let mut came = later().filter(came);
            came.find(|event| !shown.contains(&event.id))
                .map(|event| &event.id)
        })
    }

    /// Whether more than `count` were published within some period of this length.
    fn is_faster(&self, count: usize, within: Duration) -> bool {
        let starts = self.events.iter();
        let mut ends = self.events.iter().skip(count).zip(starts);
        ends.any(|(end, start)| end.at - start.at < within)
    }
}

fn place_of(what: &Looked) -> Place {
    let account = match &what.scope {
        Scope::Profile => None,
        Scope::Account(account) => Some(account.clone()),
    };
    (what.profile.clone(), account)
}

/// The number of events kept for each place.
const KEPT: usize = 4096;
const SECOND: Duration = Duration::from_secs(1);
/// How long an event travels, besides its batch, on a network that is not slow.
const LATE: Duration = Duration::from_secs(1);
