//! A liar that publishes messages on a topic of live events that do not belong there.

use lasso_core::events::routing::{
    CircuitChange, CircuitState, RoutingDecision, RoutingEvent, Transport,
};
use lasso_core::events::topics::Segment;
use lasso_core::frame::PubSubFrame;
use lasso_core::name::{Label, NodeName};

use super::{Entry, Lie, wants};
use crate::direct::EPOCH_MS;
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "false_events",
    summary: "publishes garbage, states and events of others on a topic of live events",
    weight: 2,
    make: || Box::<FalseEvents>::default(),
};

/// How often it publishes one of each.
const ROUNDS: u32 = 50;

#[derive(Debug, Default)]
struct FalseEvents {
    asked: bool,
    rounds: u32,
    last: u64,
}

impl Lie for FalseEvents {
    fn interest(&mut self, frame: &PubSubFrame, says: &mut Says<'_>) {
        if wants(frame, says.topic()) {
            self.asked = true;
            says.stream(self.last);
        }
    }

    fn tick(&mut self, says: &mut Says<'_>) {
        if !self.asked || self.rounds == ROUNDS {
            return;
        }
        self.rounds += 1;
        // A profile is the last word of its topic.
        let own = says.topic().rsplit(':').next().unwrap_or_default();
        let own = Segment::new(own).unwrap_or_else(|_| segment("own"));
        let misplaced = decision(own.clone(), Some(segment("somebody")));
        for payload in [
            b"no event at all".to_vec(),
            decision(segment("foreign"), None).encode().to_vec(),
            misplaced.encode().to_vec(),
            circuit(own).encode().to_vec(),
        ] {
            self.last += 1;
            says.payload(self.last, &payload);
        }
    }
}

fn segment(text: &str) -> Segment {
    Segment::new(text).expect("a plain word")
}

fn label(text: &str) -> Label {
    Label::new("a word", text).expect("a plain word")
}

fn source() -> NodeName {
    "lasso@10.99.0.2:9155".parse().expect("a plain name")
}

fn decision(profile: Segment, account: Option<Segment>) -> RoutingEvent {
    let (id, chain) = (label("a-lie"), segment("eth"));
    let provider = label("nobody");
    let mut decision = RoutingDecision::new(id, EPOCH_MS, profile, source(), chain, provider);
    decision.account = account;
    RoutingEvent::Decision(decision)
}

fn circuit(profile: Segment) -> RoutingEvent {
    RoutingEvent::Circuit(CircuitChange {
        unix_ms: EPOCH_MS,
        profile,
        source: source(),
        region: Label::unknown(),
        chain: segment("eth"),
        provider: label("nobody"),
        transport: Transport::Http,
        previous: CircuitState::Closed,
        state: CircuitState::Open,
        failures: 5,
        reason: None,
    })
}
