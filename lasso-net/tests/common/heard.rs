//! Waiting for interest to be known.

use std::sync::atomic::{AtomicU32, Ordering};

use lasso_net::Cluster;
use lasso_net::messaging::{Audience, Update};

use crate::common::soon;

/// Waits until `publisher` knows of all that `subscriber` has subscribed to so far. Nothing of this is
/// under way afterwards.
pub(crate) async fn heard(publisher: &Cluster, subscriber: &Cluster) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let topic = format!("the last of all {}", CALLS.fetch_add(1, Ordering::Relaxed));
    let mut last = subscriber.subscribe_raw(&topic).unwrap();
    let to = Audience::Node(subscriber.name());
    let heard = async {
        let sent = || publisher.publish_raw(&topic, "", to.clone());
        while sent().expect("they are linked").nodes == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(heard).await;
    assert!(matches!(soon(last.recv()).await, Some(Update::Message(_))));
}
