//! Live events in a scenario: applications that publish events, and viewers with a reading pace.
//!
//! Requests to the cluster, its replies, and observations have types of their own here; the application as a
//! whole passes them on.

mod emitters;
mod log;
mod viewers;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use lasso_core::events::figures::{Figures, Row};
use lasso_core::events::routing::{
    BlockHeight, CircuitChange, CircuitState, Outcome, RoutingDecision, RoutingEvent, Transport,
};
use lasso_core::events::topics::Segment;
use lasso_core::events::{Delivery, Pass, Scope, StateKey, StreamEvent};
use lasso_core::name::{Label, NodeName};
use lasso_core::plane::{PublishError, Reach};

use super::{Load, Reads};
pub(super) use emitters::Emitters;
pub use log::{EmitLog, EventLog, SightLog, ViewerLog};
pub(super) use viewers::Viewers;

/// Viewers of one scope, all alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// Their name in checks.
    pub name: String,
    /// Their scope.
    pub what: Looked,
    /// The number.
    pub count: u32,
    /// How they read.
    pub reads: Reads,
}

/// The scope of a viewer, and its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// The profile.
    pub profile: Segment,
    /// The scope within it.
    pub scope: Scope,
    /// The chains whose states it shows.
    pub chains: Vec<Segment>,
    /// Its pass.
    pub pass: Pass,
}

/// Events to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emit {
    /// The publishing node.
    pub source: NodeName,
    /// Its region.
    pub region: Label,
    /// Their profile.
    pub profile: Segment,
    /// Their chain.
    pub chain: Segment,
    /// Their providers, one after another.
    pub providers: Vec<Label>,
    /// The kind of event, with its details.
    pub what: What,
    /// The amount and the pace.
    pub load: Load,
}

/// The kind of happening that events report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Requests were routed.
    Decisions(Decisions),
    /// A circuit changed to this state.
    Circuit(CircuitState),
    /// Blocks appeared, the first of this height.
    Height(u64),
}

/// The results of requests. Shares are spread evenly, without chance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decisions {
    /// Their accounts, one after another; empty: none.
    pub accounts: Vec<Segment>,
    /// How many of a million fail.
    pub errors_ppm: u32,
    /// How many of a million succeed after another provider had failed.
    pub failovers_ppm: u32,
    /// How long they take: drawn evenly between the two.
    pub takes: (Duration, Duration),
    /// How long ago they happened: any time between the two, in no order.
    pub ago: (Duration, Duration),
    /// The prefix of their ids; `None`: one that no other load has.
    pub ids: Option<String>,
}

/// One event of a load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emission {
    /// The load.
    pub emit: Arc<Emit>,
    /// Its number in the load, from 0.
    pub number: u64,
    /// Its id, if it has one.
    pub id: Option<Label>,
}

impl Emission {
    /// Its account.
    pub fn account(&self) -> Option<&Segment> {
        let What::Decisions(decisions) = &self.emit.what else {
            return None;
        };
        let accounts = &decisions.accounts;
        accounts.get(usize::try_from(self.number).ok()? % accounts.len().max(1))
    }

    /// The event, at a moment of its node's wall clock.
    pub fn event(&self, unix_ms: u64) -> RoutingEvent {
        let (emit, number) = (&*self.emit, self.number);
        let provider = emit.providers[number as usize % emit.providers.len()].clone();
        let (profile, chain) = (emit.profile.clone(), emit.chain.clone());
        let (source, region) = (emit.source.clone(), emit.region.clone());
        match &emit.what {
            What::Decisions(decisions) => {
                let id = self.id.clone().unwrap_or_else(Label::unknown);
                let ago = between(decisions.ago, number * SHUFFLE).as_millis() as u64;
                let at = unix_ms.saturating_sub(ago);
                let mut decision = RoutingDecision::new(id, at, profile, source, chain, provider);
                decision.region = region;
                decision.account = self.account().cloned();
                decision.duration_us = between(decisions.takes, number).as_micros() as u64;
                if is_one_of(decisions.errors_ppm, number) {
                    decision.result = Outcome::Error;
                } else if is_one_of(decisions.failovers_ppm, number + STEPS / 4) {
                    decision.failovers = 1;
                }
                RoutingEvent::Decision(decision)
            }
            What::Circuit(state) => RoutingEvent::Circuit(CircuitChange {
                unix_ms,
                profile,
                source,
                region,
                chain,
                provider,
                transport: Transport::Http,
                previous: CircuitState::Closed,
                state: *state,
                failures: 5,
                reason: None,
            }),
            What::Height(first) => RoutingEvent::Height(BlockHeight {
                unix_ms,
                profile,
                source,
                region,
                chain,
                provider,
                height: first + number,
                consensus: None,
                lag: None,
            }),
        }
    }
}

/// Whether this one is among this many of a million, evenly spread.
fn is_one_of(ppm: u32, number: u64) -> bool {
    let until = |number: u64| number * u64::from(ppm) / 1_000_000;
    until(number + 1) > until(number)
}

/// A hundred steps from one to the other.
fn between((low, high): (Duration, Duration), number: u64) -> Duration {
    low + (high - low) * (number % STEPS) as u32 / (STEPS as u32 - 1)
}

const STEPS: u64 = 100;
/// Not a divisor of the steps, so neighbours are far apart.
const SHUFFLE: u64 = 37;

/// A request of the application to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventAsk {
    /// Open a viewer; answered by [`EventTold::Viewing`].
    View {
        /// Names the viewer within this life.
        viewer: u32,
        /// Its scope.
        what: Looked,
    },
    /// Close a viewer.
    Leave {
        /// Which one.
        viewer: u32,
    },
    /// Read once, waiting if necessary; answered by [`EventTold::Seen`].
    Look {
        /// Which viewer.
        viewer: u32,
    },
    /// Publish an event; answered by [`EventTold::Emitted`] before any other request.
    Emit(Emission),
}

/// A reply or message of the cluster to the application.
#[derive(Debug, Clone)]
pub enum EventTold {
    /// A viewer is open, or was refused.
    Viewing {
        /// Which one.
        viewer: u32,
        /// Why not.
        error: Option<String>,
    },
    /// A viewer has read a delivery.
    Seen {
        /// Which one.
        viewer: u32,
        /// The delivery.
        sight: Sight,
    },
    /// The result of publishing an event.
    Emitted(Result<Option<Reach>, PublishError>),
}

/// The parts of a delivery that checks read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// It is the snapshot.
    pub is_first: bool,
    /// Events that the viewer was told it had lost.
    pub lost: u64,
    /// Events: id, account and time.
    pub events: Vec<(Option<Label>, Option<Segment>, u64)>,
    /// Whether it contains all states.
    pub states_whole: bool,
    /// States that changed.
    pub states: Vec<(StateKey, Known)>,
    /// States that are gone.
    pub states_gone: Vec<StateKey>,
    /// Whether it contains all figures.
    pub figures_whole: bool,
    /// Figures that changed.
    pub figures: Vec<(Row, Figures)>,
    /// Rows that are gone.
    pub figures_gone: Vec<Row>,
    /// The numbers of nodes that respond, and that are expected.
    pub coverage: Option<(usize, usize)>,
}

/// The part of a state that checks read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Known {
    /// A circuit.
    Circuit(CircuitState),
    /// A height.
    Height(u64),
    /// Anything else.
    Other,
}

impl Known {
    /// The value of the state in an event.
    pub fn of(event: &RoutingEvent) -> Self {
        match event {
            RoutingEvent::Circuit(circuit) => Known::Circuit(circuit.state),
            RoutingEvent::Height(height) => Known::Height(height.height),
            _ => Known::Other,
        }
    }
}

impl Sight {
    /// Reads a delivery.
    pub fn new(is_first: bool, delivery: &Delivery<RoutingEvent>) -> Self {
        let seen = |event: &Arc<RoutingEvent>| {
            let id = match &**event {
                RoutingEvent::Decision(decision) => Some(decision.request_id.clone()),
                _ => None,
            };
            (id, event.account().cloned(), event.unix_ms())
        };
        let coverage = delivery.coverage.as_ref();
        let states = delivery.states.changed.iter();
        Sight {
            is_first,
            lost: delivery.lost,
            events: delivery.events.iter().map(seen).collect(),
            states_whole: delivery.states.whole,
            states: states
                .map(|(key, state)| (key.clone(), Known::of(state)))
                .collect(),
            states_gone: delivery.states.gone.clone(),
            figures_whole: delivery.figures.whole,
            figures: delivery.figures.changed.clone(),
            figures_gone: delivery.figures.gone.clone(),
            coverage: coverage.map(|coverage| (coverage.responding, coverage.expected)),
        }
    }
}

impl Sight {
    fn is_heartbeat(&self) -> bool {
        let states = self.states.len() + self.states_gone.len();
        let figures = self.figures.len() + self.figures_gone.len();
        !self.is_first && self.lost == 0 && self.events.len() + states + figures == 0
    }

    /// All of it, for the digest of a run.
    pub fn details(&self) -> String {
        let mut text = format!("{} events", self.events.len());
        for (id, ..) in &self.events {
            text.push(' ');
            text.push_str(id.as_ref().map_or("?", Label::as_str));
        }
        let (lost, states, figures) = (self.lost, &self.states, &self.figures);
        let gone = (&self.states_gone, &self.figures_gone);
        let coverage = self.coverage;
        text + &format!(", lost {lost}, {states:?} {figures:?} {gone:?} {coverage:?}")
    }
}

/// As counts, so that a line of it is short.
impl fmt::Display for Sight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_first {
            true => "its snapshot: ",
            false if self.is_heartbeat() => "a heartbeat: ",
            false => "",
        })?;
        let (events, lost) = (self.events.len(), self.lost);
        write!(f, "events {events}, states {}", self.states.len())?;
        write!(f, ", figures {}, lost {lost}", self.figures.len())?;
        let gone = self.states_gone.len() + self.figures_gone.len();
        if gone > 0 {
            write!(f, ", gone {gone}")?;
        }
        let coverage = self.coverage;
        coverage.map_or(Ok(()), |(some, all)| {
            write!(f, ", of {some} of {all} nodes")
        })
    }
}

/// An observation or action of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventSaw {
    /// A viewer is opened.
    Viewing {
        /// Names it within this life.
        viewer: u32,
        /// Its name in checks.
        name: String,
        /// Its scope.
        what: Looked,
        /// Whether it reads each delivery at once.
        at_once: bool,
    },
    /// The viewer was refused.
    Refused {
        /// Which one.
        viewer: u32,
        /// Why.
        error: String,
    },
    /// A viewer is closed.
    Left {
        /// Which one.
        viewer: u32,
    },
    /// A viewer has got a delivery.
    Seen {
        /// Which one.
        viewer: u32,
        /// The delivery.
        sight: Sight,
    },
    /// An event was published, or left out.
    Emitted {
        /// Which one.
        emission: Emission,
        /// The nodes that it reached; `None`: it was left out.
        result: Result<Option<Reach>, PublishError>,
    },
}

impl EventSaw {
    /// Whether it has a line of its own in the trace.
    pub fn is_noted(&self) -> bool {
        match self {
            EventSaw::Emitted { result, .. } => !result
                .as_ref()
                .is_ok_and(|reach| reach.is_none_or(|reach| reach.shed == 0)),
            _ => true,
        }
    }

    /// Whether the delivery is only a heartbeat.
    pub fn is_heartbeat(&self) -> bool {
        matches!(self, EventSaw::Seen { sight, .. } if sight.is_heartbeat())
    }
}

impl fmt::Display for EventSaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventSaw::Viewing {
                viewer, name, what, ..
            } => {
                write!(
                    f,
                    "viewer {viewer} ({name}) of {} {:?}",
                    what.profile, what.scope
                )
            }
            EventSaw::Refused { viewer, error } => write!(f, "viewer {viewer} is none: {error}"),
            EventSaw::Left { viewer } => write!(f, "viewer {viewer} leaves"),
            EventSaw::Seen { viewer, sight } => write!(f, "viewer {viewer} gets {sight}"),
            EventSaw::Emitted { emission, result } => {
                let id = emission.id.as_ref().map_or("a state", Label::as_str);
                match result {
                    Ok(Some(reach)) => write!(f, "emits {id}: {reach:?}"),
                    Ok(None) => write!(f, "leaves {id} out"),
                    Err(error) => write!(f, "could not emit {id}: {error}"),
                }
            }
        }
    }
}
