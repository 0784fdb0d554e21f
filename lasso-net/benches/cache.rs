//! How many cached answers a second can be read: `cargo bench -p lasso-net --bench cache`.
//!
//! One and two threads read 1,024 keys, each with its coverage and freshness: of the cache alone,
//! while a writer publishes a thousand new entries a second, and by a node's handle, while the node
//! refreshes what is read and records a thousand calls a second. Beside them, as a measure of the
//! machine in the same run, a bare map behind arc-swap: no freshness, no counts, no coverage.
//! Targets: 15 million/s with one thread, 22 with two.
//! The median of several rounds is told, and beside it the rate by the readers' own processor time
//! (on Linux), since the machine is seldom alone.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use lasso_core::metrics::queries::ProviderKey;
use lasso_core::metrics::store::{Ages, Change, Entry};
use lasso_core::time;
use lasso_net::Cluster;
use lasso_net::metrics::cache::Cache;
use lasso_net::metrics::{Call, Leaderboard, Outcome, Reader, SeriesKey};

const KEYS: usize = 1_024;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_millis(500);
/// Reads between two looks at the clock and at the flag that ends a round.
const BATCH: usize = 1_000;

type Answers = Cache<ProviderKey, [u64; 8]>;

fn main() {
    let keys: Vec<_> = (0..KEYS)
        .map(|n| ProviderKey {
            profile: format!("profile-{}", n % 16),
            chain: format!("chain-{}", n / 16),
        })
        .collect();
    let cache = Answers::new(Ages::default());
    for n in 0..KEYS {
        cache.apply([publish(&keys, n)]);
    }
    for threads in [1, 2] {
        for clock in [false, true] {
            let rounds: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let began = Instant::now();
                    let read = |key: &ProviderKey| {
                        let nanos = if clock { began.elapsed().as_nanos() } else { 0 };
                        let now = time::Instant::from_nanos(nanos as u64);
                        let reading = cache.read(now, key, || ());
                        black_box(reading.entry.expect("all keys are there").value[0]);
                    };
                    rate_of(&keys, threads, read, |n| cache.apply([publish(&keys, n)]))
                })
                .collect();
            let asking = if clock {
                ", asking the clock each time"
            } else {
                ""
            };
            println!("{threads} thread(s){asking}:");
            tell("by the wall", rounds.iter().map(|round| round.0));
            tell("by processor time", rounds.iter().map(|round| round.1));
        }
    }
    assert_eq!(cache.reads().loading, 0);
    by_handle(&keys);
    bare_map(&keys);
}

/// The same keys in a map behind arc-swap, whose values are counted references as in most such maps.
fn bare_map(keys: &[ProviderKey]) {
    type Bare = ArcSwap<HashMap<ProviderKey, ArcSwap<[u64; 8]>, RandomState>>;
    let places = keys.iter().enumerate().map(|(n, key)| {
        let value = ArcSwap::from_pointee([n as u64; 8]);
        (key.clone(), value)
    });
    let map = Bare::from_pointee(places.collect());
    for threads in [1, 2] {
        let rounds: Vec<_> = (0..ROUNDS)
            .map(|_| {
                let read = |key: &ProviderKey| {
                    let value = map.load()[key].load_full();
                    black_box(value[0]);
                };
                let write = |n: usize| map.load()[&keys[n % KEYS]].store(Arc::new([n as u64; 8]));
                rate_of(keys, threads, read, write)
            })
            .collect();
        println!("{threads} thread(s), a bare map behind arc-swap:");
        tell("by the wall", rounds.iter().map(|round| round.0));
        tell("by processor time", rounds.iter().map(|round| round.1));
    }
}

fn by_handle(keys: &[ProviderKey]) {
    let (cluster, reader) = node(keys);
    for threads in [1, 2] {
        for way in ["a reader at one moment", "a reader", "metrics().get"] {
            let rounds: Vec<_> = (0..ROUNDS)
                .map(|_| {
                    let now = reader.now();
                    let read = |key: &ProviderKey| {
                        let readout = match way {
                            "a reader at one moment" => reader.get_at(now, key),
                            "a reader" => reader.get(key),
                            _ => cluster.metrics().get::<Leaderboard>(key),
                        };
                        let readout = readout.expect("a key that can be sent");
                        black_box(readout.value().expect("all keys are there").providers.len());
                    };
                    let write = |_| cluster.record(&SERIES, CALL);
                    rate_of(keys, threads, read, write)
                })
                .collect();
            println!("{threads} thread(s), by {way}:");
            tell("by the wall", rounds.iter().map(|round| round.0));
            tell("by processor time", rounds.iter().map(|round| round.1));
        }
    }
}

const CALL: Call = Call::new(Outcome::Success, Duration::from_millis(80));
const SERIES: SeriesKey<'static> = SeriesKey {
    profile: "profile-0",
    provider: "alchemy",
    chain: "chain-0",
    method: "eth_call",
    region: "iad",
};

/// A node that has gathered all keys, on a thread of its own.
fn node(keys: &[ProviderKey]) -> (Cluster, Reader<Leaderboard>) {
    let (told, hears) = std::sync::mpsc::channel();
    let keys = keys.to_vec();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let cluster = Cluster::builder().start().await.expect("a node alone");
            for key in &keys {
                let wait = Duration::from_secs(5);
                let readout = cluster
                    .metrics()
                    .get_or_wait::<Leaderboard>(key, wait)
                    .await;
                assert!(!readout.expect("a good key").is_loading());
            }
            let reader = cluster.metrics().reader().expect("it is shipped");
            told.send((cluster, reader)).expect("somebody waits");
            std::future::pending::<()>().await;
        });
    });
    hears.recv().expect("the node starts")
}

/// Reads per second of all threads together, by the wall and if each had a processor, while a thousand writes a second go on.
fn rate_of(
    keys: &[ProviderKey],
    threads: usize,
    read: impl Fn(&ProviderKey) + Sync,
    write: impl Fn(usize),
) -> (f64, f64) {
    let (over, started) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let reader = |seed: usize| {
            let (over, read) = (&over, &read);
            scope.spawn(move || {
                let (began, before) = (Instant::now(), processor_time().unwrap_or_default());
                let (mut turn, mut reads) = (seed * 509, 0);
                while !over.load(Ordering::Relaxed) {
                    for _ in 0..BATCH {
                        turn = turn.wrapping_add(389);
                        read(&keys[turn % KEYS]);
                    }
                    reads += BATCH;
                }
                let spent = processor_time().map(|after| after - before);
                (reads, spent.unwrap_or_else(|| began.elapsed()))
            })
        };
        let readers: Vec<_> = (0..threads).map(reader).collect();
        let mut written = 0;
        while started.elapsed() < ROUND {
            while written < started.elapsed().as_millis() as usize {
                write(written);
                written += 1;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        over.store(true, Ordering::Relaxed);
        let (mut reads, mut rate) = (0.0, 0.0);
        for reader in readers {
            let (count, time) = reader.join().expect("readers do not panic");
            reads += count as f64;
            rate += count as f64 / time.as_secs_f64();
        }
        (reads / started.elapsed().as_secs_f64(), rate)
    })
}

fn tell(what: &str, rates: impl Iterator<Item = f64>) {
    let mut rates: Vec<_> = rates.map(|rate| rate / 1e6).collect();
    rates.sort_by(f64::total_cmp);
    println!(
        "  {what}: median {:.1} M reads/s (from {:.1} to {:.1})",
        rates[ROUNDS / 2],
        rates[0],
        rates[ROUNDS - 1],
    );
}

/// Time that this thread has had a processor, where the system tells.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn publish(keys: &[ProviderKey], n: usize) -> Change<ProviderKey, [u64; 8]> {
    let entry = Entry {
        value: Arc::new([n as u64; 8]),
        gathered_at: time::Instant::ZERO,
        generation: 0,
        alone: false,
        coverage: Default::default(),
        failure: None,
    };
    Change::Publish(keys[n % KEYS].clone(), Arc::new(entry))
}
