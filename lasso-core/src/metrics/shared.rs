//! A recorder that many threads record into.

use core::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::queries::Records;
use super::recorder::{Call, Limits, Recorder, RecorderCounters, SeriesKey};
use crate::time::Instant;

/// A recorder behind a lock, shared by its clones.
///
/// Nothing is awaited under the lock and nothing is sent: a record waits for another record at most,
/// or for this node's part of an answer to be collected.
///
/// ```
/// use core::time::Duration;
/// use lasso_core::metrics::SharedRecorder;
/// use lasso_core::metrics::queries::{Leaderboard, ProviderKey, Query};
/// use lasso_core::metrics::recorder::{Call, Limits, Outcome, SeriesKey};
/// use lasso_core::time::Instant;
///
/// let recorder = SharedRecorder::new(7, Limits::default());
/// let key = SeriesKey {
///     profile: "free",
///     provider: "alchemy",
///     chain: "ethereum",
///     method: "eth_call",
///     region: "iad",
/// };
/// recorder.record(Instant::ZERO, &key, Call::new(Outcome::Success, Duration::from_millis(80)));
///
/// let chain = ProviderKey { profile: "free".into(), chain: "ethereum".into() };
/// let part = Leaderboard(recorder.clone()).collect(Instant::ZERO, &chain);
/// assert_eq!(part.rows[0].tally.calls, 1);
/// ```
#[derive(Clone)]
pub struct SharedRecorder(Arc<Mutex<Recorder>>);

impl SharedRecorder {
    /// See [`Recorder::with_limits`].
    pub fn new(seed: u64, limits: Limits) -> Self {
        SharedRecorder(Arc::new(Mutex::new(Recorder::with_limits(seed, limits))))
    }

    /// See [`Recorder::record`].
    pub fn record(&self, now: Instant, key: &SeriesKey<'_>, call: Call) {
        self.0.lock().record(now, key, call);
    }

    /// What happened so far.
    pub fn counters(&self) -> RecorderCounters {
        *self.0.lock().counters()
    }
}

impl Records for SharedRecorder {
    fn with_recorder<R>(&self, read: impl FnOnce(&Recorder) -> R) -> R {
        read(&self.0.lock())
    }
}

impl fmt::Debug for SharedRecorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRecorder").finish_non_exhaustive()
    }
}
