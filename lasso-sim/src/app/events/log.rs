//! The deliveries to viewers and the published events, kept for checks.

use std::collections::BTreeMap;

use lasso_core::events::figures::{Figures, Row};
use lasso_core::events::topics::Segment;
use lasso_core::events::{Staleness, StateKey};
use lasso_core::name::Label;
use lasso_core::time::Instant;

use super::{EventSaw, Known, Sight};

/// See the module's text. Viewers are those of the present life of the node's process, or of its last one;
/// published events are those of all lives.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventLog {
    /// By their number within the life.
    pub viewers: BTreeMap<u32, ViewerLog>,
    /// By profile.
    pub emitted: BTreeMap<Segment, Vec<EmitLog>>,
}

/// One event that an application meant to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EmitLog {
    /// When.
    pub at: Instant,
    /// Whether it was published; else it was left out or refused.
    pub is_published: bool,
    /// Sampling left it out.
    pub is_left_out: bool,
    /// The number of nodes that it, or its copies, were sent to.
    pub nodes: usize,
}

/// The deliveries to one viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewerLog {
    /// Its name in checks.
    pub name: String,
    /// When it was ordered.
    pub since: Instant,
    /// When it left.
    pub left: Option<Instant>,
    /// Why it was refused, if it was.
    pub error: Option<String>,
    /// All its deliveries.
    pub sights: Vec<SightLog>,
    /// The figures that it shows.
    pub figures: BTreeMap<Row, Figures>,
    /// The states that it shows.
    pub states: BTreeMap<StateKey, Known>,
    /// The coverage that it shows: responding and expected.
    pub coverage: Option<(usize, usize)>,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SightLog {
    /// When.
    pub at: Instant,
    /// It is the snapshot.
    pub is_first: bool,
    /// Events that the viewer was told it had lost.
    pub lost: u64,
    /// The ids of its events.
    pub ids: Vec<Option<Label>>,
    /// Its events are newest first.
    pub is_newest_first: bool,
}

impl EventLog {
    /// A process starts: its application knows nothing of earlier lives.
    pub fn new_life(&mut self) {
        self.viewers.clear();
    }

    /// Notes an observation of the application.
    pub fn note(&mut self, now: Instant, saw: &EventSaw) {
        match saw {
            EventSaw::Viewing { viewer, name, .. } => {
                self.viewers.insert(*viewer, ViewerLog::new(now, name));
            }
            EventSaw::Refused { viewer, error } => {
                if let Some(viewer) = self.viewers.get_mut(viewer) {
                    viewer.error = Some(error.clone());
                }
            }
            EventSaw::Left { viewer } => {
                if let Some(viewer) = self.viewers.get_mut(viewer) {
                    viewer.left = Some(now);
                }
            }
            EventSaw::Seen { viewer, sight } => {
                if let Some(viewer) = self.viewers.get_mut(viewer) {
                    viewer.seen(now, sight);
                }
            }
            EventSaw::Emitted { emission, result } => {
                let profile = emission.emit.profile.clone();
                let reach = result.as_ref().ok();
                self.emitted.entry(profile).or_default().push(EmitLog {
                    at: now,
                    is_published: reach.is_some_and(Option::is_some),
                    is_left_out: reach.is_some_and(Option::is_none),
                    nodes: reach.and_then(|r| *r).map_or(0, |reach| reach.nodes),
                });
            }
        }
    }
}

impl ViewerLog {
    fn new(since: Instant, name: &str) -> Self {
        ViewerLog {
            name: name.to_owned(),
            since,
            left: None,
            error: None,
            sights: Vec::new(),
            figures: BTreeMap::new(),
            states: BTreeMap::new(),
            coverage: None,
        }
    }

    /// Whether it shows itself as stale.
    pub fn is_stale(&self, now: Instant) -> bool {
        let mut staleness = Staleness::new(self.since);
        if let Some(last) = self.sights.last() {
            staleness.heard(last.at);
        }
        staleness.is_stale(now)
    }

    fn seen(&mut self, now: Instant, sight: &Sight) {
        if sight.figures_whole {
            self.figures.clear();
        }
        self.figures
            .retain(|row, _| !sight.figures_gone.contains(row));
        self.figures.extend(sight.figures.iter().cloned());
        if sight.states_whole {
            self.states.clear();
        }
        self.states
            .retain(|key, _| !sight.states_gone.contains(key));
        self.states.extend(sight.states.iter().cloned());
        self.coverage = sight.coverage.or(self.coverage);
        let times: Vec<u64> = sight.events.iter().map(|(_, _, at)| *at).collect();
        self.sights.push(SightLog {
            at: now,
            is_first: sight.is_first,
            lost: sight.lost,
            ids: sight.events.iter().map(|(id, ..)| id.clone()).collect(),
            is_newest_first: times.is_sorted_by(|one, next| one >= next),
        });
    }
}
