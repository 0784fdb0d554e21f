//! What applications cross the cluster with: topics with subscribers, and calls to one node or many.
//!
//! Everything comes typed, by serde, and raw, as bytes. Typed values travel as MessagePack maps with
//! named fields, so that a field that a newer release adds is skipped by an older one. What comes
//! from a peer is decoded only as the type that was asked for, after a check of its depth that does
//! not recurse.
//!
//! Nothing here waits for the network but the answers themselves: a publish is on its way, or shed,
//! when [`Cluster::publish`](crate::Cluster::publish) returns.
//!
//! ```
//! use lasso_net::{Cluster, messaging::Received};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().start().await?;
//! let mut prices = cluster.subscribe::<f64>("prices")?;
//! cluster.publish("prices", &9.5)?;
//! let Some(Received::Message { value, .. }) = prices.recv().await else {
//!     panic!("one message was published")
//! };
//! assert_eq!(value, 9.5);
//!
//! let _serving = cluster.serve("double", |number: u64, _| async move { Ok(2 * number) })?;
//! let doubled: u64 = cluster.call(&cluster.name(), "double", &21_u64).await?;
//! assert_eq!(doubled, 42);
//! # Ok(())
//! # }
//! ```

mod call;
mod many;
mod publish;
mod serve;
mod subscription;
mod times;
mod typed;

pub use call::{Call, CallOptions, FailedCall, RawCall};
pub use many::{Answers, CallCoverage, CallMany, RawAnswers, RawCallMany, Targets};
pub use serve::{Context, Serving};
pub use subscription::{RawSubscription, Received, SubscribeOptions, Subscription};
pub use times::PublishTimes;
pub use typed::Undecodable;

pub use lasso_core::plane::{
    Audience, CallError, Half, Message, PublishError, Reach, Reject, Row, ServeError, Source,
    SubscribeError, Update,
};

pub(crate) use serve::Handlers;
pub(crate) use times::PublishClock;
