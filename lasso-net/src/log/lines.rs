//! Lines that others cause: a bound for each, and the count of what it suppressed.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use lasso_core::health::LogHealth;
use lasso_core::text::shown;
use lasso_core::throttle::{Pace, Paces, Throttle};
use lasso_core::time::Instant;
use parking_lot::Mutex;

use super::Line;
use super::writer::dropped;

/// The lines of one node.
pub(crate) struct Lines {
    state: Mutex<State>,
    /// Lines suppressed since the node started, those of the machine's notices left out.
    suppressed: AtomicU64,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    /// Writes a line, where no task has to wait for it.
    write: Box<dyn Fn(Line) + Send + Sync>,
}

struct State {
    throttle: Throttle<String>,
    /// When it was last told what was suppressed.
    told_at: Instant,
    /// Of the notices that the machine has suppressed, how many were told.
    notices_told: u64,
}

impl Lines {
    /// `clock` may be late by a tick of the system's.
    pub(crate) fn new(
        clock: Box<dyn Fn() -> Instant + Send + Sync>,
        write: impl Fn(Line) + Send + Sync + 'static,
    ) -> Self {
        Lines {
            state: Mutex::new(State {
                throttle: Throttle::new(PACES),
                told_at: Instant::ZERO,
                notices_told: 0,
            }),
            suppressed: AtomicU64::new(0),
            clock,
            write: Box::new(write),
        }
    }

    /// Writes a line that `peer` has caused, within the bounds of its kind.
    pub(crate) fn say(&self, kind: &'static str, peer: &str, line: impl FnOnce() + Send + 'static) {
        if self.admits(kind, peer) {
            (self.write)(Box::new(line));
        }
    }

    fn admits(&self, kind: &'static str, peer: &str) -> bool {
        let now = (self.clock)();
        let peer: String = peer.chars().take(PEER_CHARS_MAX).collect();
        let admitted = self.state.lock().throttle.admit(now, kind, &peer, true);
        if !admitted {
            self.suppressed.fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// Tells what was suppressed: once a minute, or now. `notices` is how many notices the machine has
    /// suppressed since the node started.
    pub(crate) fn tell_suppressed(&self, notices: u64, is_last: bool) {
        let now = (self.clock)();
        let mut state = self.state.lock();
        if !is_last && now - state.told_at < TOLD_EACH {
            return;
        }
        state.told_at = now;
        let mut held = state.throttle.take_held();
        let notices_held = notices - core::mem::replace(&mut state.notices_told, notices);
        drop(state);
        if notices_held > 0 {
            held.push(("refused", notices_held));
        }
        for (kind, lines) in held {
            let told = move || tracing::warn!(kind = %shown(kind), lines, "log lines suppressed");
            (self.write)(Box::new(told));
        }
    }

    /// As the health report shows it; `notices` as above.
    pub(crate) fn health(&self, notices: u64) -> LogHealth {
        LogHealth {
            lines_dropped: dropped(),
            lines_suppressed: self.suppressed.load(Ordering::Relaxed) + notices,
        }
    }
}

/// One peer's changes within a deployment fit; more is a peer that flaps or floods. The sum is for the
/// largest cluster that is tested, whose nodes all come at once.
const PACES: Paces = Paces {
    each: Pace {
        burst: 16,
        every: Duration::from_secs(2),
    },
    known: SUM,
    strangers: SUM,
};
const SUM: Pace = Pace {
    burst: 2_048,
    every: Duration::from_millis(50),
};
/// Between two lines that tell what was suppressed.
const TOLD_EACH: Duration = Duration::from_secs(60);
/// Longer names share the bound of those that begin alike.
const PEER_CHARS_MAX: usize = 128;
