//! The stream as a whole: what its viewers get, and when.

mod live;
mod tenants;
mod viewing;

use std::sync::Arc;

use super::routing::{
    BlockHeight, CircuitChange, CircuitState, RoutingDecision, RoutingEvent, Transport,
};
use super::*;
use crate::time::Instant;
use crate::topology::Coverage;

/// When the tests' wall clock shows this, the machine's time is zero.
const EPOCH_MS: u64 = 1_769_248_800_000;

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn segment(text: &str) -> Segment {
    Segment::new(text).unwrap()
}

fn account(text: &str) -> Scope {
    Scope::Account(segment(text))
}

fn ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn node(number: u8) -> NodeName {
    format!("lasso@10.0.0.{number}").parse().unwrap()
}

fn decision(id: &str, at_ms: u64) -> RoutingDecision {
    let profile = segment("premium");
    let mut decision = RoutingDecision::new(
        label(id),
        EPOCH_MS + at_ms,
        profile,
        node(1),
        segment("eth"),
        label("alchemy"),
    );
    decision.duration_us = 100_000;
    decision
}

fn event(id: &str, at_ms: u64) -> RoutingEvent {
    RoutingEvent::Decision(decision(id, at_ms))
}

fn event_of(id: &str, at_ms: u64, account: &str) -> RoutingEvent {
    let mut decision = decision(id, at_ms);
    decision.account = Some(segment(account));
    RoutingEvent::Decision(decision)
}

fn height(source: u8, at_ms: u64, height: u64) -> RoutingEvent {
    RoutingEvent::Height(BlockHeight {
        unix_ms: EPOCH_MS + at_ms,
        profile: segment("premium"),
        source: node(source),
        region: label("iad"),
        chain: segment("eth"),
        provider: label("alchemy"),
        height,
        consensus: None,
        lag: None,
    })
}

fn circuit(source: u8, at_ms: u64, state: CircuitState) -> RoutingEvent {
    RoutingEvent::Circuit(CircuitChange {
        unix_ms: EPOCH_MS + at_ms,
        profile: segment("premium"),
        source: node(source),
        region: label("iad"),
        chain: segment("eth"),
        provider: label("alchemy"),
        transport: Transport::Http,
        previous: CircuitState::Closed,
        state,
        failures: 5,
        reason: None,
    })
}

fn coverage(connected: usize) -> Coverage {
    Coverage {
        expected: 3,
        connected,
        responding: 1,
        identified: 1,
        unresponsive: vec![],
        disconnected: vec![],
        epoch: 1,
    }
}

/// A stream and whoever drives it: does what is due on the way from one moment to the next.
struct World {
    stream: EventStream<RoutingEvent>,
    now_ms: u64,
    stirred: Stirred,
}

impl World {
    fn new(settings: EventSettings) -> Self {
        settings.validate().unwrap();
        World {
            stream: EventStream::new(segment("premium"), settings, [1, 2]),
            now_ms: 0,
            stirred: Stirred::default(),
        }
    }

    fn now(&self) -> Instant {
        ms(self.now_ms)
    }

    fn operator(&mut self, scope: Scope) -> Seat<RoutingEvent> {
        let pass = Pass::operator(segment("premium"));
        self.stream.subscribe(self.now(), &pass, scope).unwrap()
    }

    fn customer(&mut self, own: &str) -> Seat<RoutingEvent> {
        let pass = Pass::account(segment("premium"), segment(own));
        self.stream
            .subscribe(self.now(), &pass, account(own))
            .unwrap()
    }

    fn leave(&mut self, viewer: ViewerId) {
        self.stream
            .unsubscribe(self.now(), EPOCH_MS + self.now_ms, viewer);
    }

    fn receive(&mut self, from: &Scope, event: RoutingEvent) {
        let (now, unix_ms) = (self.now(), EPOCH_MS + self.now_ms);
        self.stream
            .receive(now, unix_ms, from, Arc::new(event), &mut self.stirred);
    }

    /// From the profile's topics.
    fn comes(&mut self, event: RoutingEvent) {
        self.receive(&Scope::Profile, event);
    }

    fn run_to(&mut self, at_ms: u64) {
        while let Some(due) = self.stream.deadline().filter(|due| *due <= ms(at_ms)) {
            self.now_ms = u64::try_from(due.since_start().as_millis()).unwrap();
            assert_eq!(due, self.now(), "nothing here is due between milliseconds");
            self.stream
                .tick(due, EPOCH_MS + self.now_ms, &mut self.stirred);
            assert!(
                self.stream.deadline().is_none_or(|next| next > due),
                "it is done"
            );
        }
        self.now_ms = at_ms;
    }

    fn read(&mut self, viewer: ViewerId) -> Option<Delivery<RoutingEvent>> {
        self.stream.read(viewer)
    }

    fn feed(&self, scope: &Scope) -> FeedCounters {
        self.stream
            .feed_counters(scope)
            .expect("somebody looks at it")
    }
}

fn ids(delivery: &Delivery<RoutingEvent>) -> Vec<&str> {
    delivery
        .events
        .iter()
        .filter_map(|event| event.id())
        .collect()
}
