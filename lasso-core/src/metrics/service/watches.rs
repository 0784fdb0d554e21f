//! Which keys are watched, by how many.

use std::collections::BTreeMap;

use super::registry::{AskError, Subject};

/// Counts the watchers of each key, for whoever hands them out; the [`Service`](super::Service) is told the keys.
///
/// 1. There are never more keys than the bound; a watcher of one more is refused and counted.
#[derive(Debug)]
pub struct Watches {
    keys_max: usize,
    watchers: BTreeMap<Subject, usize>,
    has_changed: bool,
    refused: u64,
}

impl Watches {
    /// Nobody watches anything; at most `keys_max` keys are to be watched.
    pub fn new(keys_max: usize) -> Self {
        Watches {
            keys_max,
            watchers: BTreeMap::new(),
            has_changed: false,
            refused: 0,
        }
    }

    /// One more watcher of a key. [`Watches::remove`] is to be called once for it.
    ///
    /// # Errors
    /// [`AskError::TooManyWatched`]: as many other keys are watched as may be.
    pub fn add(&mut self, subject: &Subject) -> Result<(), AskError> {
        if let Some(watchers) = self.watchers.get_mut(subject) {
            *watchers += 1;
            return Ok(());
        }
        if self.watchers.len() >= self.keys_max {
            self.refused += 1;
            return Err(AskError::TooManyWatched {
                query: subject.query(),
                max: self.keys_max,
            });
        }
        self.watchers.insert(subject.clone(), 1);
        self.has_changed = true;
        Ok(())
    }

    /// One watcher less.
    pub fn remove(&mut self, subject: &Subject) {
        let Some(watchers) = self.watchers.get_mut(subject) else {
            debug_assert!(false, "{subject:?} has no watcher");
            return;
        };
        *watchers -= 1;
        if *watchers == 0 {
            self.watchers.remove(subject);
            self.has_changed = true;
        }
    }

    /// The keys that are watched, where that has changed since the last call.
    pub fn poll_keys(&mut self) -> Option<Vec<Subject>> {
        let has_changed = core::mem::take(&mut self.has_changed);
        has_changed.then(|| self.watchers.keys().cloned().collect())
    }

    /// Keys that are watched.
    pub fn keys(&self) -> usize {
        self.watchers.len()
    }

    /// Watchers that were refused.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::SharedRecorder;
    use crate::metrics::queries::{Leaderboard, ProviderKey};
    use crate::metrics::recorder::Limits;
    use crate::metrics::service::Registry;

    #[test]
    fn a_key_is_watched_from_its_first_watcher_to_its_last_and_one_too_many_is_refused() {
        let registry = Registry::shipped(&SharedRecorder::new(1, Limits::default()));
        let subject = |chain: &str| {
            let key = ProviderKey {
                profile: "free".into(),
                chain: chain.into(),
            };
            registry.subject::<Leaderboard>(&key).unwrap()
        };
        let (eth, sol) = (subject("eth"), subject("sol"));
        let mut watches = Watches::new(1);
        assert_eq!(watches.poll_keys(), None);
        assert_eq!((watches.add(&eth), watches.add(&eth)), (Ok(()), Ok(())));
        let refused = watches.add(&sol).unwrap_err();
        assert_eq!(
            refused,
            AskError::TooManyWatched {
                query: "lasso.leaderboard",
                max: 1
            }
        );
        assert_eq!((watches.keys(), watches.refused()), (1, 1));
        assert_eq!(watches.poll_keys(), Some(vec![eth.clone()]));
        watches.remove(&eth);
        assert_eq!(watches.poll_keys(), None, "one is left");
        watches.remove(&eth);
        assert_eq!(watches.poll_keys(), Some(Vec::new()));
        assert_eq!(watches.add(&sol), Ok(()));
    }
}
