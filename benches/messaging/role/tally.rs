//! What a child counts.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Counts of one child, shared by its tasks.
#[derive(Default)]
pub(crate) struct Tally {
    measuring: AtomicBool,
    count: AtomicU64,
    missed: AtomicU64,
    longest_gap: AtomicU64,
    times: Mutex<Vec<u64>>,
}

/// Counts at the beginning of the measurement.
pub(crate) struct Before {
    count: u64,
    missed: u64,
    worked: u64,
}

impl Tally {
    /// So many more are done.
    pub(crate) fn done(&self, count: u64) {
        self.count.fetch_add(count, Relaxed);
    }

    /// So many more were lost, as this side knows.
    pub(crate) fn missed(&self, missed: u64) {
        if missed > 0 {
            self.missed.fetch_add(missed, Relaxed);
        }
    }

    /// How many are done or lost so far.
    pub(crate) fn settled(&self) -> u64 {
        self.count.load(Relaxed) + self.missed.load(Relaxed)
    }

    /// Something took so long; kept while the measurement runs.
    pub(crate) fn took(&self, nanos: u64) {
        if self.measuring.load(Relaxed) {
            self.times.lock().expect("no panic under it").push(nanos);
        }
    }

    /// Nothing came for so long; kept while the measurement runs.
    pub(crate) fn gap(&self, gap: Duration) {
        if self.measuring.load(Relaxed) {
            self.longest_gap.fetch_max(gap.as_nanos() as u64, Relaxed);
        }
    }

    /// The measurement begins.
    pub(crate) fn begin(&self) -> Before {
        self.measuring.store(true, Relaxed);
        Before {
            count: self.count.load(Relaxed),
            missed: self.missed.load(Relaxed),
            worked: worked(),
        }
    }

    /// The measurement is over: the line that tells of it.
    pub(crate) fn report(&self, before: Before, length: Duration) -> String {
        let count = self.count.load(Relaxed) - before.count;
        let missed = self.missed.load(Relaxed) - before.missed;
        let worked = worked() - before.worked;
        self.measuring.store(false, Relaxed);
        let mut times = std::mem::take(&mut *self.times.lock().expect("no panic under it"));
        times.sort_unstable();
        let mut line = format!(
            "report count={count} missed={missed} ns={} cpu={worked}",
            length.as_nanos()
        );
        if let Some(last) = times.len().checked_sub(1) {
            let at = |percent: usize| times[last * percent / 100];
            line += &format!(" p50={} p99={} max={}", at(50), at(99), times[last]);
        }
        let gap = self.longest_gap.load(Relaxed);
        if gap > 0 {
            line += &format!(" gap={gap}");
        }
        line
    }
}

/// The machine's wall clock in nanoseconds since 1970: the one clock that the standard library
/// reads the same in two processes.
pub(crate) fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// Processor time that this process has used, in nanoseconds, as coarse as the kernel's ticks.
fn worked() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may hold anything, the 12th and 13th words: in user and kernel mode.
    let words = stat.rsplit(')').next().unwrap_or_default();
    let words = words.split_whitespace().skip(11).take(2);
    let ticks: u64 = words.filter_map(|word| word.parse::<u64>().ok()).sum();
    ticks * TICK_NANOS
}

/// The kernel's unit in `/proc`, 10 ms on every Linux.
const TICK_NANOS: u64 = 10_000_000;
