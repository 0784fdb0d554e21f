//! What a watcher of a key knows already.
//!
//! A watcher is to be told of each new answer, and of each change of what an answer is worth: that a node came or went, that it
//! got old, that gathering failed. It looks when something may have changed, and [`Told`] says whether anything has.
//!
//! 1. The same reading is news once.
//! 2. Of several changes between two looks, the last is news.
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::store::{Brought, Store, StoreSettings, Told};
//! use lasso_core::time::Instant;
//!
//! let (mut store, mut changes) = (Store::new(StoreSettings::default()), Vec::new());
//! let (mut told, now) = (Told::default(), Instant::ZERO);
//! store.watch_only(now, ["board"], &mut changes);
//! assert!(!told.is_news(&store.read(now, &"board", &mut changes)), "there is nothing yet");
//!
//! let refresh = store.poll_refresh(now).expect("it is watched");
//! let brought = Brought { value: Some(42), own: true, answered: 2, failed: Vec::new(), total: 3 };
//! store.finish(now, refresh.id, brought, &mut changes);
//! assert!(told.is_news(&store.read(now, &"board", &mut changes)));
//! assert!(!told.is_news(&store.read(now, &"board", &mut changes)));
//!
//! // Nobody reads it; it is renewed all the same.
//! let later = now + Duration::from_secs(10);
//! assert_eq!(store.poll_refresh(later).map(|refresh| refresh.key), Some("board"));
//! ```

use core::ops::Deref;

use super::entry::{Entry, Freshness, Reading};
use crate::time::Instant;

/// See the module. The default knows that there is nothing yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    gathered_at: Option<Instant>,
    /// How many refreshes had failed since, and when the last did.
    failed: Option<(u32, Instant)>,
    freshness: Freshness,
}

impl Default for Told {
    fn default() -> Self {
        Told {
            gathered_at: None,
            failed: None,
            freshness: Freshness::Loading,
        }
    }
}

impl Told {
    /// True when the watcher does not know this yet; it does from then on.
    pub fn is_news<A: 'static, H: Deref<Target = Entry<A>>>(
        &mut self,
        reading: &Reading<H>,
    ) -> bool {
        let failure = reading.failure();
        let new = Told {
            gathered_at: reading.entry.as_ref().map(|entry| entry.gathered_at),
            failed: failure.map(|failure| (failure.count, failure.at)),
            freshness: reading.freshness,
        };
        core::mem::replace(self, new) != new
    }
}
