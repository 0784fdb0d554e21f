//! A node that leaves sends what it has taken, or says what it could not send.

mod common;

use std::time::Duration;

use common::{SOON, nodes_with, soon};
use lasso_net::messaging::{Audience, CallError, CallOptions, PublishError, Update};
use lasso_net::{Cluster, Unsent};
use tokio::sync::oneshot;

async fn pair(net: u8) -> (Cluster, Cluster) {
    let mut nodes = nodes_with(net, 2, |builder| builder).await;
    let second = nodes.pop().expect("there are two");
    (nodes.pop().expect("there are two"), second)
}

/// Publishes `count` messages of `bytes` each to a subscriber elsewhere, then lets the node leave by
/// `leave`. Returns how many messages came, how many were told missing, and what was not sent.
async fn published_before<F: Future<Output = Unsent>>(
    net: u8,
    count: usize,
    bytes: usize,
    leave: impl FnOnce(Cluster) -> F,
) -> (usize, u64, Unsent) {
    let (a, b) = pair(net).await;
    let mut subscription = b.subscribe_raw("orders").unwrap();
    let reaches = async {
        while a
            .publish_raw("orders", "first", Audience::All)
            .unwrap()
            .nodes
            == 0
        {
            tokio::task::yield_now().await;
        }
    };
    soon(reaches).await;
    assert!(matches!(
        soon(subscription.recv()).await,
        Some(Update::Message(_))
    ));
    let payload = vec![7; bytes];
    for _ in 0..count {
        a.publish_raw("orders", payload.clone(), Audience::All)
            .unwrap();
    }
    let unsent = leave(a).await;
    let (mut came, mut missed) = (0, 0);
    while came + (missed as usize) < count {
        match soon(subscription.recv()).await {
            Some(Update::Message(_)) => came += 1,
            Some(Update::Missed(more)) => missed += more,
            other => panic!("{other:?} after {came} messages"),
        }
    }
    (came, missed, unsent)
}

#[tokio::test]
async fn what_was_published_before_a_shutdown_arrives() {
    let leave = |a: Cluster| async move { soon(a.shutdown()).await };
    let all_of = |count| (count, 0, Unsent::default());
    assert_eq!(published_before(140, 1000, 64, leave).await, all_of(1000));
    assert_eq!(
        published_before(141, 900, 1 << 10, leave).await,
        all_of(900)
    );
    assert_eq!(
        published_before(142, 20, 300 << 10, leave).await,
        all_of(20)
    );
}

#[tokio::test]
async fn what_was_published_before_the_last_handle_was_dropped_arrives() {
    let leave = |a: Cluster| async move {
        drop(a);
        Unsent::default()
    };
    let (came, missed, _) = published_before(143, 1000, 64, leave).await;
    assert_eq!((came, missed), (1000, 0));
}

/// The executor has one thread, so nothing that is published in one go is sent before the node leaves.
#[tokio::test]
async fn a_shutdown_without_time_tells_both_sides_what_is_lost() {
    let leave = |a: Cluster| async move { soon(a.shutdown_within(Duration::ZERO)).await };
    let (came, missed, unsent) = published_before(144, 1000, 1 << 10, leave).await;
    let lost = Unsent {
        messages: 1000,
        ..Unsent::default()
    };
    assert_eq!((came, missed, unsent), (0, 1000, lost));
    // Bodies that are shared, and a frame in pieces.
    let (came, missed, unsent) = published_before(147, 20, 300 << 10, leave).await;
    assert_eq!((came, missed, unsent.messages), (0, 20, 20));
}

#[tokio::test]
async fn calls_under_way_end_before_a_node_leaves() {
    let (a, b) = pair(145).await;
    let (begun, has_begun) = oneshot::channel();
    let (go_on, goes_on) = oneshot::channel::<()>();
    let slots = std::sync::Mutex::new(Some((begun, goes_on)));
    let _serving = b
        .serve("slow", move |(): (), _| {
            let (begun, goes_on) = slots.lock().unwrap().take().expect("it is called once");
            async move {
                begun.send(()).unwrap();
                goes_on.await.unwrap();
                Ok(42_u64)
            }
        })
        .unwrap();
    let caller = a.clone();
    let to = b.name();
    let call = tokio::spawn(async move { caller.call::<_, u64>(&to, "slow", &()).await });
    soon(has_begun).await.unwrap();
    // Both leave: the one that is asked, and the one that asks.
    let (of_a, of_b) = (a.clone(), b.clone());
    let leaving = tokio::spawn(async move { tokio::join!(of_a.shutdown(), of_b.shutdown()) });
    let taken = async {
        while a.publish("topic", &()) != Err(PublishError::Stopped) {
            tokio::task::yield_now().await;
        }
    };
    soon(taken).await;
    go_on.send(()).unwrap();
    assert_eq!(soon(call).await.unwrap(), Ok(42));
    assert_eq!(
        soon(leaving).await.unwrap(),
        (Unsent::default(), Unsent::default())
    );
}

#[tokio::test]
async fn a_handler_that_does_not_end_holds_a_node_up_no_longer_than_it_may() {
    let (a, b) = pair(146).await;
    let _serving = b
        .serve_raw("for ever", |_, _| std::future::pending())
        .unwrap();
    let caller = a.clone();
    let to = b.name();
    let options = CallOptions {
        timeout: Some(SOON),
    };
    let call = tokio::spawn(async move { caller.call_raw(&to, "for ever", "", options).await });
    let works = async {
        while b.inspect(|node| node.plane().lock().calls_open().1) == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(works).await;
    let unsent = soon(b.shutdown_within(Duration::from_millis(50))).await;
    assert_eq!(
        unsent,
        Unsent {
            unanswered: 1,
            ..Unsent::default()
        }
    );
    let failed = soon(call).await.unwrap().unwrap_err();
    assert_eq!(failed, CallError::Disconnected);
}
