//! Live events: what all nodes see of their requests, for whoever looks.
//!
//! A node publishes its events, as far as they are worth it, with
//! [`Cluster::publish_event`](crate::Cluster::publish_event). Whoever looks at a profile, or at one
//! account within it, opens a [`Viewer`] on any node and first gets a snapshot of what is known there,
//! then what is new, twice a second at most unless much comes at once. Nothing runs, and nothing is
//! subscribed to, on a node on which nobody looks.
//!
//! Neither is on the path of a request: publishing never waits for anybody, and a viewer that does not
//! read loses the oldest and is told how many. What is to be worked out for viewers is worked out aside
//! from the tasks of the runtime, on a thread of the runtime's pool for work that blocks, while there is
//! anything; the pool is to have one to spare.
//!
//! ```
//! use lasso_core::name::Label;
//! use lasso_net::Cluster;
//! use lasso_net::events::{Outcome, Pass, RoutingDecision, RoutingEvent, Scope, Segment};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = Cluster::builder().start().await?;
//! let profile = Segment::new("premium")?;
//!
//! // What the server knows of the one who asks; here somebody who runs the profile.
//! let pass = Pass::operator(profile.clone());
//! let mut viewer = cluster.events(profile.clone()).viewer(&pass, Scope::Profile).await?;
//! let snapshot = viewer.recv().await.expect("it is there at once");
//! assert!(snapshot.events.is_empty());
//!
//! let (id, chain) = (Label::new("request id", "a-request")?, Segment::new("eth")?);
//! let provider = Label::new("provider", "alchemy")?;
//! let unix_ms = 1_769_248_800_000;
//! let mut decision =
//!     RoutingDecision::new(id, unix_ms, profile, cluster.name(), chain, provider);
//! decision.result = Outcome::Error; // always published
//! let reach = cluster.publish_event(RoutingEvent::Decision(decision))?;
//! assert_eq!(reach.map(|reach| reach.subscribers), Some(1));
//!
//! let batch = viewer.recv().await.expect("the node runs");
//! assert_eq!(batch.events.len(), 1);
//! # Ok(())
//! # }
//! ```

mod after;
mod desk;
mod seat;
mod tally;
mod tasks;
mod turn;
mod viewer;

pub use lasso_core::events::changes::Changes;
pub use lasso_core::events::figures::{Figures, Row};
pub use lasso_core::events::kinds::{
    BLOCK_SYNC, EventKinds, FieldValue, HEALTH_PROBE, KindError, KindRule, OpenEvent,
    PROVIDER_CONNECTION, SUBSCRIPTION,
};
pub use lasso_core::events::routing::{
    BlockHeight, CircuitChange, CircuitState, Outcome, ProviderHealth, ProviderStatus,
    RoutingDecision, RoutingEvent, Transport,
};
pub use lasso_core::events::sampler::{SampleRate, SampleRates, SamplerCounters};
pub use lasso_core::events::topics::{Segment, SegmentError};
pub use lasso_core::events::windows::Series;
pub use lasso_core::events::{
    EventSettings, Group, LiveCounters, Pass, Scope, ScopeError, Staleness, StateKey, StreamEvent,
    Thresholds, ViewerId,
};
pub use viewer::{Events, ViewError, Viewer};

pub(crate) use desk::Desk;

use lasso_core::events::publications;
use lasso_core::plane::{Audience, PublishError, Reach};

use crate::Cluster;

/// What a viewer gets at a time.
pub type Delivery = lasso_core::events::Delivery<RoutingEvent>;

/// What a node's viewers and its publishing have done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventCounters {
    /// Streams, viewers and what came for them.
    pub live: LiveCounters,
    /// Successes that were published, and left out.
    pub sampler: SamplerCounters,
}

impl Cluster {
    /// Publishes an event for viewers on any node, with its weight, or leaves it out: of plain
    /// successes as many are published as the settings' `sampling` says for their profile, of
    /// everything else all. An event with an account goes to the profile's viewers without it, and to
    /// the account's with it. Never waits, as [`Cluster::publish`].
    ///
    /// `None`: the event was left out, which the weights of others account for. What of all copies was
    /// reached and shed is added up.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`], where the settings allow only messages that are smaller than an
    /// event may be.
    pub fn publish_event(&self, event: RoutingEvent) -> Result<Option<Reach>, PublishError> {
        let sampled = event.sampled(&mut self.shared().desk.sampler());
        let Some(event) = sampled else {
            return Ok(None);
        };
        let mut sum = Reach::default();
        for (topic, payload) in publications(&event) {
            let reach = self.shared().publish(&topic, &payload, &Audience::All)?;
            sum.add(&reach);
        }
        Ok(Some(sum))
    }

    /// What became of events on this node, as of when something was last done for its viewers. Where they
    /// and their topics are more than 256, `live.stream` and `live.feeds` are added up once as much else
    /// was done as there are of them, and may be that old.
    pub fn event_counters(&self) -> EventCounters {
        self.shared().desk.counters()
    }
}
