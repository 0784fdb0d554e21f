//! Bounds and times of a store.

use core::time::Duration;

use super::entry::Ages;

/// Bounds and times of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// Until when an answer is good for what.
    pub ages: Ages,
    /// Most keys, 1,024 by default. More keep more answers, each of the size of its value; fewer
    /// forget answers that are still read, and gather them anew. What was wanted once gives way before
    /// what was wanted again. A quarter of them may be watched.
    pub keys_max: usize,
    /// Most refreshes at once, 32 by default. More renew many keys sooner after a change of
    /// membership; fewer put less load on the cluster then.
    pub refreshes_max: usize,
    /// After how long a refresh that nobody has finished has failed, 10 s by default; longer than a
    /// call to the cluster may take. Shorter starts a second one beside a slow first.
    pub refresh_timeout: Duration,
    /// Time from a failed refresh to the next, 1 s by default, doubling with each failure in a row.
    pub backoff_min: Duration,
    /// Longest such time, 10 s by default. Longer spares a cluster that is broken; shorter notices
    /// sooner that it no longer is.
    pub backoff_max: Duration,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            ages: Ages::default(),
            keys_max: 1_024,
            refreshes_max: 32,
            refresh_timeout: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(10),
        }
    }
}

/// Settings that contradict each other. The caller's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoreSettingsError {
    /// Ages that do not follow each other.
    #[error("ages must grow: fresh {fresh:?} <= expired {expired:?} < dropped {dropped:?}")]
    Ages {
        /// As given.
        fresh: Duration,
        /// As given.
        expired: Duration,
        /// As given.
        dropped: Duration,
    },
    /// A bound or a time of nothing.
    #[error("{0} must not be 0")]
    Zero(&'static str),
    /// A backoff that would shrink.
    #[error("backoff must grow: least {min:?} <= most {max:?}")]
    Backoff {
        /// As given.
        min: Duration,
        /// As given.
        max: Duration,
    },
}

impl StoreSettings {
    /// Checks what the types alone do not hold.
    ///
    /// # Errors
    /// [`StoreSettingsError`] for the first contradiction.
    pub fn validate(&self) -> Result<(), StoreSettingsError> {
        let Ages {
            fresh,
            expired,
            dropped,
        } = self.ages;
        if fresh > expired || expired >= dropped {
            return Err(StoreSettingsError::Ages {
                fresh,
                expired,
                dropped,
            });
        }
        let zeros = [
            ("the number of keys", self.keys_max == 0),
            ("the number of refreshes", self.refreshes_max == 0),
            ("the refreshes' timeout", self.refresh_timeout.is_zero()),
            ("the least backoff", self.backoff_min.is_zero()),
        ];
        if let Some((what, _)) = zeros.into_iter().find(|(_, zero)| *zero) {
            return Err(StoreSettingsError::Zero(what));
        }
        let (min, max) = (self.backoff_min, self.backoff_max);
        if min > max {
            return Err(StoreSettingsError::Backoff { min, max });
        }
        Ok(())
    }

    /// Most keys that may be watched at once: a quarter of the places, so that readers have the others.
    pub fn watched_max(&self) -> usize {
        (self.keys_max / 4).max(1)
    }

    /// The age at which a watched answer is gathered anew: two thirds of the time for which it is fresh, so that
    /// there is a third for gathering.
    pub(super) fn renew_after(&self) -> Duration {
        self.ages.fresh * 2 / 3
    }

    /// How long to wait after this many failures in a row.
    pub(super) fn backoff(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let backoff = self.backoff_min.saturating_mul(1 << doublings);
        backoff.min(self.backoff_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn each_contradiction_is_refused() {
        let good = StoreSettings::default();
        assert_eq!(good.validate(), Ok(()));
        let ages = |fresh, expired, dropped| StoreSettings {
            ages: Ages {
                fresh: secs(fresh),
                expired: secs(expired),
                dropped: secs(dropped),
            },
            ..good.clone()
        };
        let bad = [
            ages(61, 60, 300),
            ages(15, 300, 300),
            StoreSettings {
                keys_max: 0,
                ..good.clone()
            },
            StoreSettings {
                refreshes_max: 0,
                ..good.clone()
            },
            StoreSettings {
                refresh_timeout: secs(0),
                ..good.clone()
            },
            StoreSettings {
                backoff_min: secs(0),
                ..good.clone()
            },
            StoreSettings {
                backoff_min: secs(11),
                ..good.clone()
            },
        ];
        for settings in bad {
            assert!(settings.validate().is_err(), "{settings:?}");
        }
    }

    #[test]
    fn a_backoff_doubles_up_to_its_bound() {
        let settings = StoreSettings::default();
        let backoffs = [1, 2, 3, 4, 5, u32::MAX].map(|n| settings.backoff(n).as_secs());
        assert_eq!(backoffs, [1, 2, 4, 8, 10, 10]);
    }
}
