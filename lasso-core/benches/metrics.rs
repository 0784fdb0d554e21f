//! What recording and merging cost: `cargo bench -p lasso-core --bench metrics`.
//!
//! Targets: 100 ns a record among 512 series.

use core::time::Duration;

use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use lasso_core::metrics::recorder::{Call, Outcome, Recorder, SeriesKey};
use lasso_core::metrics::sketch::Sketch;
use lasso_core::time::Instant;

fn main() {
    divan::main();
}

const RECORDS: usize = 4_096;

/// A small generator, so that latencies and series come in no order.
fn scatter(n: u64) -> u64 {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 29)
}

fn latency(n: usize) -> Duration {
    Duration::from_micros(1_000 + scatter(n as u64) % 400_000)
}

/// 4,096 records, each into one of `series` series.
#[divan::bench(args = [1, 64, 512])]
fn record(bencher: Bencher<'_, '_>, series: u64) {
    let names: Vec<_> = (0..series)
        .map(|n| {
            (
                format!("provider-{}", n % 8),
                format!("eth_method{}", n / 8),
            )
        })
        .collect();
    let mut calls = Vec::new();
    for n in 0..RECORDS {
        let (provider, method) = &names[scatter(n as u64) as usize % names.len()];
        let key = SeriesKey {
            profile: "premium",
            provider,
            chain: "ethereum",
            method,
            region: "iad",
        };
        calls.push((key, Call::new(Outcome::Success, latency(n))));
    }
    let mut recorder = Recorder::new(7);
    let mut record_all = || {
        for (key, call) in &calls {
            recorder.record(black_box(Instant::ZERO), black_box(key), *call);
        }
    };
    // The first time makes the series.
    record_all();
    bencher
        .counter(ItemsCount::new(RECORDS))
        .bench_local(record_all);
}

#[divan::bench]
fn record_in_a_sketch(bencher: Bencher<'_, '_>) {
    let mut sketch = Sketch::new();
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        sketch.record(black_box(latency(turn % RECORDS)));
    });
}

#[divan::bench]
fn merge_two_sketches(bencher: Bencher<'_, '_>) {
    let mut other = Sketch::new();
    (0..RECORDS).for_each(|n| other.record(latency(n)));
    let mut sketch = Sketch::new();
    bencher.bench_local(|| sketch.merge(black_box(&other)));
}
