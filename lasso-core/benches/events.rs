//! What the event stream costs: `cargo bench -p lasso-core --bench events`.
//!
//! Target: one million events per second into a stream on one core, with dedup on and 50 viewers of
//! the profile. What is measured is all that the machine does with an event: dedup, windows, figures,
//! batches, the newest hundred, and offering every batch to every viewer, with a clock that goes on as
//! if a million came per second. Events are decoded already; `decode` says what that costs beside it.

use core::hint::black_box;
use core::time::Duration;
use std::sync::Arc;

use divan::Bencher;
use divan::counter::ItemsCount;
use lasso_core::events::dedup::Dedup;
use lasso_core::events::routing::{Outcome, RoutingDecision, RoutingEvent};
use lasso_core::events::sampler::{SampleRates, Sampler};
use lasso_core::events::topics::Segment;
use lasso_core::events::{EventSettings, EventStream, Pass, Scope, Stirred, ViewerId};
use lasso_core::name::{Label, NodeName};
use lasso_core::time::Instant;

fn main() {
    divan::main();
}

/// Enough that every id is forgotten by the bound before it comes again.
const POOL: usize = 120_000;
const VIEWERS: usize = 50;
/// Wall clock at the start.
const UNIX_MS: u64 = 1_769_248_800_000;

fn segment(text: &str) -> Segment {
    Segment::new(text).expect("a constant that is a segment")
}

fn label(text: &str) -> Label {
    Label::new("label", text).expect("a text that is a label")
}

/// Decisions with ids of UUID length over ten providers, four chains and three regions. They share
/// their texts but for the ids, so that these are as warm in the cache as those of an event that has
/// just been decoded.
fn pool(unix_ms: u64) -> Vec<Arc<RoutingEvent>> {
    let chains = ["eth", "sol", "base", "arb"].map(segment);
    let regions = ["iad", "sjc", "fra"].map(label);
    let providers: Vec<Label> = (0..10).map(|n| label(&format!("provider-{n}"))).collect();
    let source: NodeName = "lasso@10.0.0.5".parse().expect("a constant that is a name");
    let profile = segment("premium");
    let decision = |number: usize| {
        let mut decision = RoutingDecision::new(
            label(&format!("{number:08x}-1234-4321-8888-{number:012x}")),
            unix_ms,
            profile.clone(),
            source.clone(),
            chains[number % 4].clone(),
            providers[number / 4 % 10].clone(),
        );
        decision.region = regions[number / 40 % 3].clone();
        decision.duration_us = 20_000 + (number as u64 * 7919) % 200_000;
        if number.is_multiple_of(50) {
            decision.result = Outcome::Error;
        }
        decision.weight = 20;
        Arc::new(RoutingEvent::Decision(decision))
    };
    (0..POOL).map(decision).collect()
}

/// A stream with viewers, and the clock of whoever drives it.
struct Load {
    stream: EventStream<RoutingEvent>,
    viewers: Vec<ViewerId>,
    nanos: u64,
    stirred: Stirred,
}

impl Load {
    fn new(viewers: usize) -> Self {
        let profile = segment("premium");
        let mut stream = EventStream::new(profile.clone(), EventSettings::default(), [1, 2]);
        let pass = Pass::operator(profile);
        let seat = |_| stream.subscribe(Instant::ZERO, &pass, Scope::Profile);
        let seats = (0..viewers).map(seat);
        let viewers = seats
            .map(|seat| seat.expect("there is room").viewer)
            .collect();
        Load {
            stream,
            viewers,
            nanos: 0,
            stirred: Stirred::default(),
        }
    }

    /// One event, `nanos` after the last one.
    fn event(&mut self, event: &Arc<RoutingEvent>, nanos: u64) {
        self.nanos += nanos;
        let (now, unix_ms) = self.clock();
        let event = Arc::clone(event);
        self.stream
            .receive(now, unix_ms, &Scope::Profile, event, &mut self.stirred);
    }

    /// What a driver does each millisecond: what is due, and viewers that read what they have.
    fn drive(&mut self) {
        let (now, unix_ms) = self.clock();
        if self.stream.deadline().is_some_and(|due| due <= now) {
            self.stream.tick(now, unix_ms, &mut self.stirred);
        }
        for viewer in self.stirred.readable.drain(..) {
            black_box(self.stream.read(viewer));
        }
    }

    fn clock(&self) -> (Instant, u64) {
        (
            Instant::from_nanos(self.nanos),
            UNIX_MS + self.nanos / 1_000_000,
        )
    }
}

/// A tenth of a second of a million events per second: target 1 M/s with 50 viewers.
#[divan::bench(args = [0, 1, VIEWERS])]
fn events_in(bencher: Bencher<'_, '_>, viewers: usize) {
    const EVENTS: usize = 100_000;
    let pool = pool(UNIX_MS);
    let mut load = Load::new(viewers.max(1));
    if viewers == 0 {
        // Somebody looked a moment ago: all is kept, and nothing delivered.
        let (now, unix_ms) = load.clock();
        load.stream.unsubscribe(now, unix_ms, load.viewers[0]);
    }
    let mut next = 0;
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for number in 0..EVENTS {
            load.event(&pool[next], 1_000);
            next = (next + 1) % POOL;
            if number % 1_000 == 999 && viewers > 0 {
                load.drive();
            }
        }
    });
}

/// The same, where every event comes twice, from two nodes.
#[divan::bench]
fn events_in_all_twice(bencher: Bencher<'_, '_>) {
    const EVENTS: usize = 100_000;
    let pool = pool(UNIX_MS);
    let mut load = Load::new(VIEWERS);
    let mut next = 0;
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        for number in 0..EVENTS {
            load.event(&pool[next / 2 % POOL], 1_000);
            next += 1;
            if number % 1_000 == 999 {
                load.drive();
            }
        }
    });
}

/// Half an id's work: is it there, and if not, remember it and forget the oldest.
#[divan::bench]
fn dedup(bencher: Bencher<'_, '_>) {
    let ids: Vec<String> = (0..POOL)
        .map(|n| format!("{n:08x}-1234-4321-8888-{n:012x}"))
        .collect();
    let mut dedup = Dedup::new(Duration::from_secs(120), 50_000, [1, 2]);
    let mut next = 0;
    bencher
        .counter(ItemsCount::new(1_000_usize))
        .bench_local(|| {
            for _ in 0..1_000 {
                black_box(dedup.is_new(Instant::ZERO, Some(&ids[next])));
                next = (next + 1) % POOL;
            }
        });
}

/// What a request costs that is not published.
#[divan::bench]
fn sample(bencher: Bencher<'_, '_>) {
    let mut sampler = Sampler::new(SampleRates::default(), [1; 32]);
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| sampler.success(black_box("premium")));
}

/// What an event costs on its way in and out of bytes.
#[divan::bench]
fn decode(bencher: Bencher<'_, '_>) {
    let bytes = pool(UNIX_MS)[0].encode();
    let counter = ItemsCount::new(1_usize);
    bencher
        .counter(counter)
        .bench(|| RoutingEvent::decode(black_box(&bytes)));
}

/// See [`decode`].
#[divan::bench]
fn encode(bencher: Bencher<'_, '_>) {
    let event = &pool(UNIX_MS)[0];
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench(|| black_box(event).encode());
}

/// An hour at 10,000 events per second with 50 viewers, of whom one never reads: prints the memory
/// that the process holds after each ten minutes of it, which must not grow after the first.
#[divan::bench(sample_count = 1, sample_size = 1)]
fn an_hour_at_10_000_per_second(bencher: Bencher<'_, '_>) {
    const EVENTS: u64 = 36_000_000;
    let pool = pool(UNIX_MS);
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let mut load = Load::new(VIEWERS);
        let asleep = load.viewers[0];
        for number in 0..EVENTS {
            let mut event = RoutingEvent::clone(&pool[number as usize % POOL]);
            if let RoutingEvent::Decision(decision) = &mut event {
                decision.unix_ms = UNIX_MS + load.nanos / 1_000_000;
            }
            load.event(&Arc::new(event), 100_000);
            if number % 1_000 == 999 {
                load.stirred.readable.retain(|viewer| *viewer != asleep);
                load.drive();
            }
            if number % (EVENTS / 6) == EVENTS / 6 - 1 {
                eprintln!("minute {}: {}", load.nanos / 60_000_000_000, resident());
            }
        }
        black_box(load.stream.counters());
    });
}

fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS"));
    line.unwrap_or("no /proc here").to_owned()
}
