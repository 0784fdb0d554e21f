//! Cluster-wide answers at the speed of memory: what [`lasso_core::metrics`] decides, made readable
//! from many threads.
//!
//! ```
//! use lasso_core::metrics::store::{Freshness, Store, StoreSettings};
//! use lasso_core::time::Instant;
//! use lasso_net::metrics::cache::Cache;
//!
//! let (now, mut changes) = (Instant::ZERO, Vec::new());
//! let mut store = Store::<String, u64>::new(StoreSettings::default());
//! let cache = Cache::<String, u64>::new(*store.ages());
//! // What nobody has asked for yet is wanted from now on, and loading.
//! let reading = cache.read(now, "board", || store.want(now, &"board".to_owned(), &mut changes));
//! assert_eq!(reading.freshness, Freshness::Loading);
//! assert!(store.poll_refresh(now).is_some());
//! ```

pub mod cache;
