//! Subscribing.

use core::future::poll_fn;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use futures_core::Stream;
use lasso_core::name::NodeName;
use lasso_core::plane::{Plane, Row, Source, SubscribeError, SubscriberId, Update};
use serde::de::DeserializeOwned;

use super::typed::{self, Undecodable};
use crate::Cluster;
use crate::shared::Shared;

impl Cluster {
    /// Subscribes to a topic: what any node publishes on it from now on, decoded as `T`. Nodes hear
    /// of the subscription within a round trip; [`Subscription::subscribed`] waits for that.
    ///
    /// A subscriber that does not read keeps as many messages as the settings' `pubsub` say, 1,024 by
    /// default; the oldest give way, and it is told how many. One that begins to read takes all that
    /// waits at once, and as many may wait again behind that. Dropping it ends the subscription.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was changed.
    ///
    /// ```
    /// use lasso_net::{Cluster, messaging::Received};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cookie = "a secret of at least thirty-two bytes";
    /// let a = Cluster::builder().name("doc@127.0.41.1").cookie(cookie).peer("doc@127.0.41.2");
    /// let b = Cluster::builder().name("doc@127.0.41.2").cookie(cookie).peer("doc@127.0.41.1");
    /// let (a, b) = (a.start().await?, b.start().await?);
    /// let mut prices = b.subscribe::<f64>("prices")?;
    /// // Once A has heard of it, one node is reached.
    /// while a.publish("prices", &9.5)?.nodes == 0 {
    ///     tokio::task::yield_now().await;
    /// }
    /// let Some(Received::Message { value, source, .. }) = prices.recv().await else {
    ///     panic!("a message is on its way")
    /// };
    /// assert_eq!((value, &source.node), (9.5, &a.name()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe<T: DeserializeOwned>(
        &self,
        topic: &str,
    ) -> Result<Subscription<T>, SubscribeError> {
        self.subscribe_with(topic, SubscribeOptions::default())
    }

    /// As [`Cluster::subscribe`], with options.
    ///
    /// # Errors
    /// As [`Cluster::subscribe`].
    pub fn subscribe_with<T: DeserializeOwned>(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Subscription<T>, SubscribeError> {
        Ok(Subscription {
            raw: self.subscribe_raw_with(topic, options)?,
            value: PhantomData,
        })
    }

    /// Subscribes to a topic and gets the bytes as they were published.
    ///
    /// # Errors
    /// As [`Cluster::subscribe`].
    pub fn subscribe_raw(&self, topic: &str) -> Result<RawSubscription, SubscribeError> {
        self.subscribe_raw_with(topic, SubscribeOptions::default())
    }

    /// As [`Cluster::subscribe_raw`], with options.
    ///
    /// # Errors
    /// As [`Cluster::subscribe`].
    pub fn subscribe_raw_with(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<RawSubscription, SubscribeError> {
        let shared = Arc::clone(self.shared());
        let id = shared
            .with_plane(|plane, _, effects| plane.subscribe(topic, options.queue_max, effects))?;
        Ok(RawSubscription::new(shared, id))
    }
}

/// How a subscription is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SubscribeOptions {
    /// Messages that may wait to be read; `None`: as the settings' `pubsub` say, 1,024 by default.
    /// More outlast a longer pause of the reader, and cost memory while it lasts.
    pub queue_max: Option<usize>,
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq)]
pub enum Received<T> {
    /// A message.
    Message {
        /// What was published.
        value: T,
        /// The topic, and the node that published it.
        source: Arc<Source>,
        /// Its row of numbers.
        row: Row,
        /// Its number within source and row; grows by one from message to message.
        number: u64,
        /// The publisher's wall clock, in milliseconds since 1970.
        unix_ms: u64,
    },
    /// So many messages of the topic should have come and did not: they were shed on the way, were
    /// under way when a link was lost, or were dropped here since nobody read.
    Missed(u64),
    /// A message that is no `T`.
    Malformed {
        /// Why.
        error: Undecodable,
        /// The topic, and the node that published it.
        source: Arc<Source>,
    },
}

impl<T: DeserializeOwned> Received<T> {
    fn from(update: Update) -> Self {
        let message = match update {
            Update::Message(message) => message.into_content(),
            Update::Missed(messages) => return Received::Missed(messages),
        };
        let source = message.source;
        match typed::decode(&message.payload) {
            Ok(value) => Received::Message {
                value,
                source,
                row: message.row,
                number: message.number,
                unix_ms: message.unix_ms,
            },
            Err(error) => Received::Malformed { error, source },
        }
    }
}

/// A subscription, with what is published decoded as `T`. Ends when it is dropped. Also a
/// [`Stream`].
#[must_use = "dropping it ends the subscription"]
pub struct Subscription<T> {
    raw: RawSubscription,
    value: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Subscription<T> {
    /// Waits until every linked node has heard of the subscription: see [`RawSubscription::subscribed`].
    pub async fn subscribed(&mut self) {
        self.raw.subscribed().await;
    }

    /// The linked nodes that refuse the subscription: see [`RawSubscription::refused_by`].
    pub fn refused_by(&self) -> Vec<NodeName> {
        self.raw.refused_by()
    }

    /// What comes next; `None` once the node has stopped and all that had come was read. Cancelling
    /// loses nothing.
    pub async fn recv(&mut self) -> Option<Received<T>> {
        self.raw.recv().await.map(Received::from)
    }

    /// What has come already.
    pub fn try_recv(&mut self) -> Option<Received<T>> {
        self.raw.try_recv().map(Received::from)
    }
}

impl<T: DeserializeOwned> Stream for Subscription<T> {
    type Item = Received<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Received<T>>> {
        let polled = self.raw.poll_recv(cx);
        polled.map(|update| update.map(Received::from))
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

/// A subscription that gets the bytes as they were published. Ends when it is dropped. Also a
/// [`Stream`].
#[must_use = "dropping it ends the subscription"]
pub struct RawSubscription {
    shared: Arc<Shared>,
    id: SubscriberId,
    /// Fetched, so that the plane's lock is taken once for many; at most a queue's worth.
    waiting: VecDeque<Update>,
    /// Handed out without a pause.
    at_once: u32,
}

impl RawSubscription {
    pub(crate) fn new(shared: Arc<Shared>, id: SubscriberId) -> Self {
        RawSubscription {
            shared,
            id,
            waiting: VecDeque::new(),
            at_once: 0,
        }
    }

    /// Waits until every node that is linked has heard of the subscription, usually one round trip: what
    /// they publish after that comes, or is reported as missed. Also returns once this node begins to stop. A node
    /// that links up later hears of it by itself, and is not waited for once this has returned.
    ///
    /// A node whose tables of topics are full refuses, and holds this up until it has room or is gone: use
    /// [`tokio::time::timeout`] to wait for no longer than you want to, and [`RawSubscription::refused_by`] to
    /// learn which node it is. Cancelling loses nothing.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use lasso_net::Cluster;
    /// # let cookie = "a secret of at least thirty-two bytes";
    /// # let a = Cluster::builder().name("doc@127.0.47.1").cookie(cookie).peer("doc@127.0.47.2");
    /// # let b = Cluster::builder().name("doc@127.0.47.2").cookie(cookie).peer("doc@127.0.47.1");
    /// # let (a, b) = (a.start().await?, b.start().await?);
    /// # b.wait_for(2, std::time::Duration::from_secs(20)).await?;
    /// let mut prices = b.subscribe::<f64>("prices")?;
    /// prices.subscribed().await;
    /// assert_eq!(a.publish("prices", &9.5)?.nodes, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn subscribed(&mut self) {
        poll_fn(|cx| {
            let is_heard = |plane: &mut Plane| plane.is_heard(self.id, cx.waker());
            // Looked at last, as below.
            if self.shared.read_plane(is_heard) || self.shared.has_stopped() {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
    }

    /// The linked nodes that refuse the subscription, since their tables of topics are full: what they publish
    /// does not come, and is not reported as missed. They are asked again every few seconds; one that has room
    /// is named no more, and what it publishes from then on comes.
    pub fn refused_by(&self) -> Vec<NodeName> {
        self.shared.read_plane(|plane| plane.refused_by(self.id))
    }

    /// What comes next; `None` once the node has stopped and all that had come was read. Cancelling
    /// loses nothing.
    pub async fn recv(&mut self) -> Option<Update> {
        if let Some(update) = self.next_waiting() {
            return Some(update);
        }
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// What has come already.
    pub fn try_recv(&mut self) -> Option<Update> {
        if self.waiting.is_empty() {
            let (id, waiting) = (self.id, &mut self.waiting);
            self.shared
                .read_plane(|plane| plane.read(id, None, waiting));
        }
        self.waiting.pop_front()
    }

    fn next_waiting(&mut self) -> Option<Update> {
        if self.at_once >= AT_ONCE {
            return None;
        }
        self.at_once += 1;
        self.waiting.pop_front()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        if self.at_once >= AT_ONCE {
            // Where much comes, its reader must not be the only task that runs.
            self.at_once = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.waiting.is_empty() {
            let (id, waiting) = (self.id, &mut self.waiting);
            self.shared
                .read_plane(|plane| plane.read(id, Some(cx.waker()), waiting));
        }
        if let Some(update) = self.next_waiting() {
            return Poll::Ready(Some(update));
        }
        self.at_once = 0;
        // Looked at last: whoever sets it wakes, after that, whoever has left a waker.
        if self.shared.has_stopped() {
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

impl Stream for RawSubscription {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        self.poll_recv(cx)
    }
}

impl Drop for RawSubscription {
    fn drop(&mut self) {
        let id = self.id;
        self.shared
            .with_plane(|plane, _, effects| plane.unsubscribe(id, effects));
    }
}

impl fmt::Debug for RawSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawSubscription")
            .field("id", &self.id)
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// Updates that are handed out before other tasks have a turn.
const AT_ONCE: u32 = 4096;
