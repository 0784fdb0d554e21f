//! Publishing.

use bytes::Bytes;
use lasso_core::name::{Label, NodeName};
use lasso_core::plane::{Audience, PublishError, Reach};
use serde::Serialize;

use super::times::PublishTimes;
use super::typed;
use crate::Cluster;

impl Cluster {
    /// Publishes to every node that has a subscriber for the topic, this one included.
    ///
    /// At most once, and in order from this node. It never waits: what the lane of a link has no
    /// room for is shed for that node alone, and [`Reach::shed`] says so; the node's subscribers are
    /// told how much they missed. A slow node delays no other.
    ///
    /// # Errors
    /// [`PublishError::Topic`], [`PublishError::TooLarge`] and [`PublishError::Unencodable`], all the
    /// caller's fault, and [`PublishError::Stopped`]; nothing was published.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = lasso_net::Cluster::builder().start().await?;
    /// let reach = cluster.publish("jobs", &["sweep", "polish"])?;
    /// assert_eq!((reach.subscribers, reach.nodes, reach.shed), (0, 0, 0));
    /// let _jobs = cluster.subscribe::<Vec<String>>("jobs")?;
    /// assert_eq!(cluster.publish("jobs", &["rest"])?.subscribers, 1);
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish<T>(&self, topic: &str, value: &T) -> Result<Reach, PublishError>
    where
        T: Serialize + ?Sized,
    {
        self.publish_as(topic, value, &Audience::All)
    }

    /// Publishes to the subscribers on this node alone.
    ///
    /// # Errors
    /// As [`Cluster::publish`].
    pub fn publish_local<T>(&self, topic: &str, value: &T) -> Result<Reach, PublishError>
    where
        T: Serialize + ?Sized,
    {
        self.publish_as(topic, value, &Audience::Local)
    }

    /// Publishes to the subscribers on one node, which may be this one.
    ///
    /// # Errors
    /// As [`Cluster::publish`], and [`PublishError::NotConnected`] where no link to it stands.
    pub fn publish_to<T>(
        &self,
        node: &NodeName,
        topic: &str,
        value: &T,
    ) -> Result<Reach, PublishError>
    where
        T: Serialize + ?Sized,
    {
        self.publish_as(topic, value, &Audience::Node(node.clone()))
    }

    /// Publishes to the subscribers on every node that has a role, this one included where it has
    /// it. A node whose description has not come yet has none.
    ///
    /// # Errors
    /// As [`Cluster::publish`].
    pub fn publish_to_role<T>(
        &self,
        role: &Label,
        topic: &str,
        value: &T,
    ) -> Result<Reach, PublishError>
    where
        T: Serialize + ?Sized,
    {
        self.publish_as(topic, value, &Audience::Role(role.clone()))
    }

    /// Publishes bytes as they are.
    ///
    /// # Errors
    /// As [`Cluster::publish_to`].
    ///
    /// ```
    /// use lasso_net::messaging::Audience;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cluster = lasso_net::Cluster::builder().start().await?;
    /// cluster.publish_raw("frames", vec![0, 1, 2], Audience::All)?;
    /// let error = cluster.publish_raw("", "no topic", Audience::All).unwrap_err();
    /// assert_eq!(error.to_string(), "a topic has 1 to 256 bytes; this one has 0");
    /// # Ok(())
    /// # }
    /// ```
    pub fn publish_raw(
        &self,
        topic: &str,
        payload: impl Into<Bytes>,
        audience: Audience,
    ) -> Result<Reach, PublishError> {
        self.shared().publish(topic, &payload.into(), &audience)
    }

    /// How long publishes on this node took so far. See [`PublishTimes`].
    pub fn publish_times(&self) -> PublishTimes {
        self.shared().publish_clock.times()
    }

    fn publish_as<T>(
        &self,
        topic: &str,
        value: &T,
        audience: &Audience,
    ) -> Result<Reach, PublishError>
    where
        T: Serialize + ?Sized,
    {
        let payload = typed::encode(value).map_err(PublishError::Unencodable)?;
        self.shared().publish(topic, &payload, audience)
    }
}
