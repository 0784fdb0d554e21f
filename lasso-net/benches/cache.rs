//! How many cached answers a second can be read: `cargo bench -p lasso-net --bench cache`.
//!
//! One and two threads read 1,024 keys, each with its coverage and freshness, while a writer
//! publishes a thousand new entries a second. Targets: 15 million/s with one thread, 22 with two.
//! The median of several rounds is told, and beside it the rate by the readers' own processor time
//! (on Linux), since the machine is seldom alone.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lasso_core::metrics::queries::ProviderKey;
use lasso_core::metrics::store::{Ages, Change, Entry};
use lasso_core::time;
use lasso_net::metrics::cache::Cache;

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
                .map(|_| round(&cache, &keys, threads, clock))
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

/// Reads per second of all threads together: by the wall, and if each had a processor.
fn round(cache: &Answers, keys: &[ProviderKey], threads: usize, clock: bool) -> (f64, f64) {
    let (over, started) = (AtomicBool::new(false), Instant::now());
    std::thread::scope(|scope| {
        let reader = |seed| {
            let over = &over;
            scope.spawn(move || read_until(cache, keys, seed, clock, over))
        };
        let readers: Vec<_> = (0..threads).map(reader).collect();
        let mut written = 0;
        while started.elapsed() < ROUND {
            // A thousand a second, in whatever steps the scheduler allows.
            while written < started.elapsed().as_millis() as usize {
                cache.apply([publish(keys, written)]);
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

fn read_until(
    cache: &Answers,
    keys: &[ProviderKey],
    seed: usize,
    clock: bool,
    over: &AtomicBool,
) -> (usize, Duration) {
    let (started, mut turn, mut reads) = (Instant::now(), seed * 509, 0);
    let before = processor_time().unwrap_or_default();
    let mut now = time::Instant::ZERO;
    while !over.load(Ordering::Relaxed) {
        for _ in 0..BATCH {
            // A stride that meets all keys, but not one after another.
            turn = turn.wrapping_add(389);
            if clock {
                now = time::Instant::from_nanos(started.elapsed().as_nanos() as u64);
            }
            let reading = cache.read(now, &keys[turn % KEYS], || ());
            black_box(reading.entry.expect("all keys are there").value[0]);
        }
        reads += BATCH;
    }
    let spent = processor_time().map(|after| after - before);
    (reads, spent.unwrap_or_else(|| started.elapsed()))
}
