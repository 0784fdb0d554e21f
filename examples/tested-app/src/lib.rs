//! Orders: a small service on a lasso cluster, to show how one is tested.
//!
//! Each node has a stock of its own and serves `place`, which reserves pieces of it. A caller that gets no answer
//! does not know whether its order was taken, so it asks again with the same id, and the node gives the answer that it
//! gave before. What was reserved is published on the topic `orders`, which every node reads.

mod feed;
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use lasso::{CallError, CallOptions, Cluster, NodeName, Received, ServeError, SubscribeError};
use serde::{Deserialize, Serialize};

pub use crate::feed::{Counts, Feed};
pub use crate::ledger::Ledger;

/// An order. Two orders are the same when their ids are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The caller draws it once, and keeps it for all attempts.
    pub id: u64,
    /// How many pieces.
    pub pieces: u32,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The pieces are reserved.
    Reserved,
    /// There are not as many.
    SoldOut,
}

/// The service did not start.
#[derive(Debug)]
pub enum Error {
    /// The method `place` cannot be served.
    Serve(ServeError),
    /// The topic `orders` cannot be read.
    Subscribe(SubscribeError),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Serve(error) => write!(f, "cannot serve `{PLACE}`: {error}"),
            Error::Subscribe(error) => write!(f, "cannot read `{ORDERS}`: {error}"),
        }
    }
}

impl std::error::Error for Error {}

/// The method that reserves.
const PLACE: &str = "place";
/// The topic of orders that were reserved.
const ORDERS: &str = "orders";
/// How long one attempt to place an order takes at most.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The pause after an attempt without an answer.
const PAUSE: Duration = Duration::from_millis(500);

/// Runs the service on this node until the node stops. `ledger` is what outlives the process, `feed` what the node
/// reads of all orders.
///
/// # Errors
/// [`Error`]: the service runs here already, or the node has stopped.
pub async fn serve(cluster: Cluster, ledger: Arc<Ledger>, feed: Arc<Feed>) -> Result<(), Error> {
    let mut orders = cluster
        .subscribe::<Order>(ORDERS)
        .map_err(Error::Subscribe)?;
    let (publisher, published) = (cluster.clone(), Arc::clone(&feed));
    let place = move |order: Order, _| {
        let (cluster, ledger) = (publisher.clone(), Arc::clone(&ledger));
        let feed = Arc::clone(&published);
        async move { Ok(reserve(&cluster, &ledger, &feed, order).await) }
    };
    let serving = cluster.serve(PLACE, place).map_err(Error::Serve)?;
    while let Some(received) = orders.recv().await {
        match received {
            Received::Message { value, .. } => feed.heard(value.id),
            Received::Missed(orders) => feed.missed(orders),
            // Another release uses the topic in another form; this one ignores its orders.
            Received::Malformed { .. } => {}
        }
    }
    drop(serving);
    Ok(())
}

/// Answers one order.
async fn reserve(cluster: &Cluster, ledger: &Ledger, feed: &Feed, order: Order) -> Answer {
    if let Some(answer) = ledger.answered(order.id) {
        return answer;
    }
    let answer = ledger.reserve(&order);
    // Saved only now: an await between the check and the reservation would let another attempt of the same order in.
    ledger.written().await;
    if answer == Answer::Reserved && cluster.publish(ORDERS, &order).is_ok() {
        feed.published();
    }
    answer
}

/// Places an order at a node, and asks again where no answer comes.
///
/// # Errors
/// The last attempt's. After [`CallError::Timeout`] and [`CallError::Disconnected`] it is not known whether the order
/// was taken.
pub async fn place(
    cluster: &Cluster,
    at: &NodeName,
    order: Order,
    attempts: u32,
) -> Result<Answer, CallError> {
    let options = CallOptions {
        timeout: Some(ATTEMPT),
    };
    let mut attempt = 1;
    loop {
        let call = cluster.call_with::<Order, Answer>(at, PLACE, &order, options);
        match call.await.map_err(CallError::from) {
            Ok(answer) => return Ok(answer),
            Err(error) if attempt == attempts || error == CallError::Stopped => return Err(error),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        attempt += 1;
    }
}
