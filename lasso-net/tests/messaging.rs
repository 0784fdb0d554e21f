//! Topics and calls over real sockets on loopback.

mod common;
#[path = "common/heard.rs"]
mod heard;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lasso_core::name::NodeName;
use lasso_core::plane::pubsub::PubSubCounters;
use lasso_net::Cluster;
use lasso_net::messaging::{
    Answers, Audience, CallError, CallOptions, FailedCall, PublishError, RawSubscription, Received,
    Reject, ServeError, SubscribeError, SubscribeOptions, Targets, Update,
};
use tokio::sync::{Barrier, oneshot};

use crate::common::{nodes_with, soon};
use crate::heard::heard;

const LARGEST: usize = 16 << 20;

/// So many nodes that know each other.
async fn nodes(net: u8, count: usize) -> Vec<Cluster> {
    nodes_with(net, count, |builder| builder).await
}

async fn pair(net: u8) -> (Cluster, Cluster) {
    let mut nodes = nodes(net, 2).await;
    let b = nodes.pop().expect("two nodes");
    (nodes.pop().expect("two nodes"), b)
}

async fn message(subscription: &mut RawSubscription) -> Vec<u8> {
    match soon(subscription.recv()).await {
        Some(Update::Message(message)) => message.payload.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn counters(cluster: &Cluster) -> PubSubCounters {
    cluster.inspect(|node| *node.plane().lock().counters().0)
}

#[tokio::test]
async fn a_publish_reaches_a_node_with_subscribers_once_and_one_without_never() {
    let nodes = nodes(51, 3).await;
    let [a, b, c] = &nodes[..] else { panic!() };
    let mut first = b.subscribe::<String>("news").unwrap();
    let mut second = b.subscribe_raw("news").unwrap();
    let mut ends = [b, c].map(|node| node.subscribe_raw("end").unwrap());
    heard(a, b).await;
    heard(a, c).await;
    let before = [b, c].map(|node| counters(node).received);
    let reach = a.publish("news", "hello").unwrap();
    assert_eq!((reach.subscribers, reach.nodes, reach.shed), (0, 1, 0));
    a.publish_raw("end", "", Audience::All).unwrap();
    for end in &mut ends {
        message(end).await;
    }
    let Some(Received::Message { value, source, .. }) = soon(first.recv()).await else {
        panic!("one message is on its way")
    };
    assert_eq!(value, "hello");
    assert_eq!((&*source.topic, &source.node), ("news", &a.name()));
    assert_eq!(message(&mut second).await, b"\xa5hello");
    assert!(first.try_recv().is_none());
    // Two messages came to B, though three subscribers got one each; one came to C.
    let after = [b, c].map(|node| counters(node).received);
    assert_eq!((after[0] - before[0], after[1] - before[1]), (2, 1));
    assert_eq!(counters(c).unwanted, 0);
}

#[tokio::test]
async fn the_largest_message_arrives_and_one_byte_more_is_refused_with_both_sizes() {
    let (a, b) = pair(52).await;
    let mut large = b.subscribe_raw("large").unwrap();
    heard(&a, &b).await;
    let payload: Vec<u8> = (0..LARGEST).map(|at| (at % 251) as u8).collect();
    let reach = a
        .publish_raw("large", payload.clone(), Audience::All)
        .unwrap();
    assert_eq!((reach.nodes, reach.shed), (1, 0));
    assert!(
        message(&mut large).await == payload,
        "it is not what was sent"
    );
    let error = a.publish_raw("large", vec![0; LARGEST + 1], Audience::All);
    let error = error.unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("16777217") && text.contains("16777216"),
        "{text}"
    );
}

#[tokio::test]
async fn messages_arrive_in_order_under_load() {
    const COUNT: u32 = 100_000;
    let (a, b) = pair(53).await;
    let options = SubscribeOptions {
        queue_max: Some(COUNT as usize),
    };
    let mut numbers = b.subscribe_raw_with("numbers", options).unwrap();
    heard(&a, &b).await;
    let reads = tokio::spawn(async move {
        for number in 0..COUNT {
            assert_eq!(message(&mut numbers).await, number.to_be_bytes());
        }
    });
    for number in 0..COUNT {
        let payload = number.to_be_bytes().to_vec();
        let reach = a.publish_raw("numbers", payload, Audience::All).unwrap();
        assert_eq!((reach.nodes, reach.shed), (1, 0), "{number}");
        if reach.fullest_lane_bytes > 1 << 20 {
            tokio::task::yield_now().await;
        }
    }
    reads.await.unwrap();
    assert!(a.publish_times().measured() >= u64::from(COUNT) / 16);
    assert!(a.publish_times().quantile(0.5).is_some());
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_is_told_what_it_missed() {
    let (a, b) = pair(54).await;
    let options = SubscribeOptions { queue_max: Some(4) };
    let mut slow = b.subscribe_raw_with("many", options).unwrap();
    let mut fast = b.subscribe_raw("many").unwrap();
    heard(&a, &b).await;
    for number in 0..100_u8 {
        a.publish_raw("many", vec![number], Audience::All).unwrap();
    }
    for number in 0..100 {
        assert_eq!(message(&mut fast).await, [number]);
    }
    let (mut missed, mut read) = (0, Vec::new());
    while let Some(update) = slow.try_recv() {
        match update {
            Update::Missed(messages) => missed += messages,
            Update::Message(message) => read.extend_from_slice(&message.payload),
        }
    }
    assert_eq!(missed + read.len() as u64, 100);
    let newest: Vec<u8> = (100 - read.len() as u8..100).collect();
    assert_eq!(read, newest);
    assert!((1..=4).contains(&read.len()), "{read:?}");
}

#[tokio::test]
async fn nothing_is_sent_to_a_node_whose_last_subscriber_has_gone() {
    let (a, b) = pair(55).await;
    let first = b.subscribe_raw("news").unwrap();
    let second = b.subscribe_raw("news").unwrap();
    heard(&a, &b).await;
    drop(first);
    heard(&a, &b).await;
    let sent = || a.publish_raw("news", "", Audience::All).unwrap().nodes;
    assert_eq!(sent(), 1, "one subscriber is left");
    drop(second);
    heard(&a, &b).await;
    assert_eq!(sent(), 0);
}

/// The subscriber waits, and not the publisher: then no message is lost to any of many nodes.
#[tokio::test]
async fn nothing_is_lost_once_every_node_has_heard_of_a_subscription() {
    let nodes = nodes(73, 4).await;
    for topic in ["one", "another", "a third"] {
        let mut subscription = nodes[3].subscribe_raw(topic).unwrap();
        soon(subscription.subscribed()).await;
        for node in &nodes[..3] {
            let reach = node.publish_raw(topic, "order", Audience::All).unwrap();
            assert_eq!(reach.nodes, 1, "{} publishes {topic}", node.name());
            message(&mut subscription).await;
        }
    }
    let lone = Cluster::builder().start().await.unwrap();
    let mut subscription = lone.subscribe_raw("nobody else").unwrap();
    soon(subscription.subscribed()).await;
    lone.shutdown().await;
    soon(subscription.subscribed()).await;
}

#[tokio::test]
async fn a_subscription_ends_when_its_node_stops() {
    let (_a, b) = pair(56).await;
    let mut waits = b.subscribe::<String>("news").unwrap();
    let mut unread = b.subscribe::<String>("news").unwrap();
    b.publish_local("news", "the last").unwrap();
    let is_last = |received: Option<Received<String>>| matches!(received, Some(Received::Message { value, .. }) if value == "the last");
    assert!(is_last(soon(waits.recv()).await));
    let (polled, was_polled) = oneshot::channel();
    let ends = tokio::spawn(async move {
        let mut recv = Box::pin(waits.recv());
        let pending = futures_util::poll!(&mut recv).is_pending();
        polled.send(pending).unwrap();
        recv.await
    });
    assert_eq!(was_polled.await, Ok(true), "nothing has come");
    b.shutdown().await;
    assert_eq!(soon(ends).await.unwrap(), None);
    // What had come is read first.
    assert!(is_last(soon(unread.recv()).await));
    assert_eq!(soon(unread.recv()).await, None);
}

#[tokio::test]
async fn after_a_shutdown_every_handle_says_that_the_node_has_stopped() {
    let (a, b) = pair(68).await;
    let handle = b.clone();
    b.shutdown().await;
    for to in [a.name(), b.name()] {
        let failed = soon(handle.call::<_, ()>(&to, "method", &())).await;
        let text = format!("`method` of {to}: this node has stopped");
        assert_eq!(failed.unwrap_err().to_string(), text);
    }
    let targets = Targets::Nodes(vec![a.name()]);
    let many = soon(handle.call_many::<_, ()>(targets, "method", &())).await;
    assert_eq!(many, Err(CallError::Stopped));
    let published = handle.publish("topic", "message");
    assert_eq!(published, Err(PublishError::Stopped));
    let subscribed = handle.subscribe::<String>("topic").map(|_| ());
    assert_eq!(subscribed, Err(SubscribeError::Stopped));
    let served = handle.serve("method", |(): (), _| async { Ok(()) });
    assert_eq!(served.map(|_| ()), Err(ServeError::Stopped));
}

#[tokio::test]
async fn a_message_that_is_none_of_the_type_is_told_and_the_next_one_comes() {
    let (a, b) = pair(57).await;
    let mut numbers = b.subscribe::<u64>("numbers").unwrap();
    heard(&a, &b).await;
    a.publish("numbers", "four").unwrap();
    a.publish_raw("numbers", vec![0x91; 100_000], Audience::All)
        .unwrap();
    a.publish("numbers", &4).unwrap();
    let Some(Received::Malformed { error, source }) = soon(numbers.recv()).await else {
        panic!("text is no number")
    };
    assert_eq!((error.wanted, &source.node), ("u64", &a.name()));
    let Some(Received::Malformed { error, .. }) = soon(numbers.recv()).await else {
        panic!("nests too deep")
    };
    assert_eq!(error.problem, "nested deeper than 64 levels");
    let Some(Received::Message { value, .. }) = soon(numbers.recv()).await else {
        panic!("a number is a number")
    };
    assert_eq!(value, 4);
}

#[tokio::test]
async fn a_handler_that_panics_rejects_its_call_and_the_next_one_is_answered() {
    let (a, b) = pair(58).await;
    let _serving = b
        .serve("halve", |number: u64, _| async move {
            assert!(number.is_multiple_of(2), "{number} is a secret");
            Ok(number / 2)
        })
        .unwrap();
    let _at_once = b
        .serve("at once", |(): (), _| {
            if true {
                panic!("before there is a future")
            }
            async { Ok(()) }
        })
        .unwrap();
    let to = b.name();
    let rejected = |outcome| match outcome {
        Err(FailedCall {
            reason: CallError::Rejected(reject),
            ..
        }) => reject,
        outcome => panic!("{outcome:?}"),
    };
    let reject = rejected(soon(a.call::<_, u64>(&to, "halve", &7_u64)).await);
    assert_eq!(reject.code, Reject::CODE_NODE);
    assert_eq!(reject.message, "the handler of `halve` panicked");
    assert_eq!(soon(a.call(&to, "halve", &8_u64)).await, Ok(4_u64));
    let reject = rejected(soon(a.call::<_, u64>(&to, "at once", &())).await);
    assert_eq!(reject.message, "the handler of `at once` panicked");
}

#[tokio::test]
async fn what_one_side_cannot_understand_is_told_with_its_half_and_the_reason() {
    let (a, b) = pair(69).await;
    let _serving = b.serve("halve", |number: u64, _| async move { Ok(number / 2) });
    let to = b.name();
    let told = [
        soon(a.call::<_, u64>(&to, "halve", "eight"))
            .await
            .map(drop),
        soon(a.call::<_, String>(&to, "halve", &8_u64))
            .await
            .map(drop),
    ];
    let begins = [
        "the question could not be understood: 6 bytes that are no `u64`: ",
        "the answer could not be understood: 1 bytes that are no `alloc::string::String`: ",
    ];
    for (told, begins) in told.into_iter().zip(begins) {
        let told = told.unwrap_err().to_string();
        let begins = format!("`halve` of {to}: {begins}");
        assert!(told.starts_with(&begins), "{told}");
    }
}

#[tokio::test]
async fn a_call_without_any_time_is_never_carried_out() {
    let (a, b) = pair(70).await;
    let serve = |node: &Cluster| node.serve("never", |(): (), _| async { Ok(()) });
    let _serving = [serve(&a), serve(&b)];
    let options = CallOptions {
        timeout: Some(Duration::ZERO),
    };
    for to in [a.name(), b.name()] {
        for _ in 0..50 {
            let failed = soon(a.call_with::<_, ()>(&to, "never", &(), options)).await;
            let reason = failed.unwrap_err().reason;
            assert_eq!(reason, CallError::Timeout(Duration::ZERO));
        }
    }
    let requests = |node: &Cluster| node.inspect(|node| node.plane().lock().counters().1.requests);
    assert_eq!((requests(&a), requests(&b)), (0, 0));
}

#[tokio::test]
async fn many_calls_are_worked_on_at_once() {
    const COUNT: usize = 64;
    let (a, b) = pair(59).await;
    let all = Arc::new(Barrier::new(COUNT));
    let _serving = b
        .serve("meet", move |number: usize, context| {
            let all = Arc::clone(&all);
            async move {
                // Nobody goes on before everybody is here.
                all.wait().await;
                Ok((number, context.from))
            }
        })
        .unwrap();
    let to = b.name();
    let calls: Vec<_> = (0..COUNT)
        .map(|number| a.call::<_, (usize, NodeName)>(&to, "meet", &number))
        .collect();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(soon(call).await, Ok((number, a.name())));
    }
}

#[tokio::test]
async fn a_method_has_one_server_and_none_once_that_is_dropped() {
    let (a, b) = pair(60).await;
    let to = b.name();
    let serve = || b.serve("one", |(): (), _| async { Ok(1) });
    let serving = serve().unwrap();
    let taken = serve().map(|_| ()).unwrap_err();
    assert_eq!(taken, ServeError::Taken("one".into()));
    assert_eq!(soon(a.call(&to, "one", &())).await, Ok(1));
    drop(serving);
    let outcome = soon(a.call::<_, u8>(&to, "one", &())).await;
    let reason = outcome.unwrap_err().reason;
    assert_eq!(reason, CallError::NoSuchMethod);
    serve().unwrap().forever();
    assert_eq!(soon(a.call(&to, "one", &())).await, Ok(1));
}

#[tokio::test]
async fn a_handler_is_dropped_at_the_deadline_of_its_call() {
    struct Told(Option<oneshot::Sender<()>>);
    impl Drop for Told {
        fn drop(&mut self) {
            let _ = self.0.take().map(|told| told.send(()));
        }
    }
    let (a, b) = pair(61).await;
    let (told, dropped) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let _serving = b
        .serve("for ever", move |(): (), _| {
            let told = Told(told.lock().unwrap().take());
            async move {
                let () = std::future::pending().await;
                drop(told);
                Ok(())
            }
        })
        .unwrap();
    let options = CallOptions {
        timeout: Some(Duration::from_millis(50)),
    };
    let outcome = a.call_with::<_, ()>(&b.name(), "for ever", &(), options);
    let reason = soon(outcome).await.unwrap_err().reason;
    assert_eq!(reason, CallError::Timeout(Duration::from_millis(50)));
    soon(dropped).await.unwrap();
    let open = |node: &Cluster| node.inspect(|node| node.plane().lock().calls_open());
    let free = async {
        while open(&b) != (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    soon(free).await;
    assert_eq!(open(&a), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_given_up() {
    let (a, b) = pair(62).await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let opened = Arc::clone(&gate);
    let _serving = b
        .serve("wait", move |(): (), _| {
            let gate = Arc::clone(&opened);
            async move {
                let _place = gate.acquire().await;
                Ok(())
            }
        })
        .unwrap();
    let to = b.name();
    drop(a.call::<_, ()>(&to, "wait", &()));
    let waiting = || a.inspect(|node| node.plane().lock().calls_open().0);
    assert_eq!(waiting(), 0);
    let second = a.call::<_, ()>(&to, "wait", &());
    gate.add_permits(1);
    assert_eq!(soon(second).await, Ok(()));
    let late = || a.inspect(|node| node.plane().lock().counters().1.late_answers);
    assert_eq!(
        late(),
        1,
        "the answer to the first came before the one to the second"
    );
}

#[tokio::test]
async fn a_call_to_many_has_an_outcome_for_each_and_one_that_fails_spoils_nothing() {
    let nodes = nodes(63, 3).await;
    let [a, b, c] = &nodes[..] else { panic!() };
    let guards: Vec<_> = [a, b, c]
        .into_iter()
        .map(|node| {
            let me = node.name();
            node.serve("who", move |(): (), _| {
                let me = me.clone();
                async move { Ok(me) }
            })
            .unwrap()
        })
        .collect();
    let answers: Answers<NodeName> = soon(a.call_many(Targets::All, "who", &())).await.unwrap();
    let said: BTreeSet<NodeName> = answers.values().map(|(_, name)| name.clone()).collect();
    assert_eq!(said, nodes.iter().map(Cluster::name).collect());
    assert_eq!((answers.coverage.asked, answers.coverage.answered), (3, 3));

    c.shutdown().await;
    let gone = async {
        while a.coverage().connected > 2 {
            tokio::task::yield_now().await;
        }
    };
    soon(gone).await;
    let asked = vec![c.name(), b.name(), a.name()];
    let targets = Targets::Nodes(asked.clone());
    let answers: Answers<NodeName> = soon(a.call_many(targets, "who", &())).await.unwrap();
    let order: Vec<NodeName> = answers
        .outcomes
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    assert_eq!(order, asked);
    let failures: Vec<_> = answers.failures().collect();
    assert_eq!(failures, [(&c.name(), &CallError::NotConnected(c.name()))]);
    assert!(answers.values().all(|(name, said)| name == said));
    let coverage = answers.coverage;
    assert_eq!(coverage.to_string(), "2/3 nodes");
    assert_eq!(
        coverage.failed.into_iter().collect::<Vec<_>>(),
        [("not_connected", 1)]
    );
    let epoch = a.coverage().epoch;
    assert_eq!(coverage.epoch, epoch);

    let answers: Answers<NodeName> = soon(a.call_many(Targets::Others, "who", &()))
        .await
        .unwrap();
    let order: Vec<NodeName> = answers.outcomes.into_iter().map(|(name, _)| name).collect();
    assert_eq!(order, [b.name()]);
    drop(guards);
}

#[tokio::test]
async fn a_call_under_way_when_its_node_goes_is_disconnected() {
    let (a, b) = pair(64).await;
    let (begun, begins) = oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let _serving = b
        .serve("for ever", move |(): (), _| {
            let begun = begun.lock().unwrap().take().expect("one call");
            async move {
                begun.send(()).unwrap();
                std::future::pending::<Result<(), Reject>>().await
            }
        })
        .unwrap();
    let call = a.call::<_, ()>(&b.name(), "for ever", &());
    soon(begins).await.unwrap();
    b.shutdown_within(Duration::ZERO).await;
    let reason = soon(call).await.unwrap_err().reason;
    assert_eq!(reason, CallError::Disconnected);
}

#[tokio::test]
async fn a_call_to_the_own_node_past_its_deadline_is_a_timeout_and_frees_its_place() {
    let a = Cluster::builder().start().await.unwrap();
    let _serving = a
        .serve_raw("for ever", |_, _| std::future::pending())
        .unwrap();
    let options = CallOptions {
        timeout: Some(Duration::from_millis(20)),
    };
    for _ in 0..20 {
        let outcome = soon(a.call_raw(&a.name(), "for ever", "", options)).await;
        let timeout = CallError::Timeout(Duration::from_millis(20));
        assert_eq!(outcome, Err(timeout));
    }
    let open = || a.inspect(|node| node.plane().lock().calls_open());
    let free = async {
        while open() != (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    soon(free).await;
}

#[tokio::test]
async fn a_handler_that_panics_when_it_is_dropped_frees_its_place() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(std::thread::panicking(), "dropped");
        }
    }
    let a = Cluster::builder().start().await.unwrap();
    let _serving = a
        .serve("for ever", |(): (), _| {
            let bomb = Bomb;
            async move {
                let () = std::future::pending().await;
                drop(bomb);
                Ok(())
            }
        })
        .unwrap();
    let options = CallOptions {
        timeout: Some(Duration::from_millis(20)),
    };
    let outcome = a.call_with::<_, ()>(&a.name(), "for ever", &(), options);
    let failed = soon(outcome).await.unwrap_err();
    let text = format!("`for ever` of {}: no answer within 20ms", a.name());
    assert_eq!(failed.to_string(), text);
    let open = || a.inspect(|node| node.plane().lock().calls_open());
    let free = async {
        while open() != (0, 0) {
            tokio::task::yield_now().await;
        }
    };
    soon(free).await;
}

#[tokio::test]
async fn nothing_is_served_after_the_node_has_stopped() {
    let a = Cluster::builder().start().await.unwrap();
    a.shutdown().await;
    let held = Arc::new(());
    let kept = Arc::clone(&held);
    let served = a.serve("late", move |(): (), _| {
        let _kept = Arc::clone(&kept);
        async { Ok(()) }
    });
    assert_eq!(served.err(), Some(ServeError::Stopped));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_handler_is_dropped_when_the_link_to_whoever_asked_is_lost() {
    let (a, b) = pair(71).await;
    let (told, dropped) = oneshot::channel::<()>();
    let told = std::sync::Mutex::new(Some(told));
    let (begun, begins) = oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let _serving = b
        .serve("for ever", move |(): (), _| {
            let told = told.lock().unwrap().take();
            let begun = begun.lock().unwrap().take().expect("one call");
            async move {
                begun.send(()).unwrap();
                let () = std::future::pending().await;
                drop(told);
                Ok(())
            }
        })
        .unwrap();
    // Long past the test's own patience.
    let options = CallOptions {
        timeout: Some(Duration::from_secs(500)),
    };
    let call = a.call_with::<_, ()>(&b.name(), "for ever", &(), options);
    soon(begins).await.unwrap();
    a.shutdown().await;
    assert!(
        soon(dropped).await.is_err(),
        "its handler holds the sender no more"
    );
    assert_eq!(b.inspect(|node| node.plane().lock().calls_open()), (0, 0));
    drop(call);
}

/// Asks the node for its topology wherever it is woken, as an executor may that polls at once.
struct Asks(Cluster, std::sync::atomic::AtomicUsize);

impl std::task::Wake for Asks {
    fn wake(self: Arc<Self>) {
        let _ = self.0.topology();
        let _ = self.0.publish_local("woken", &());
        self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Publishes when it is dropped.
struct Last(Cluster);

impl std::task::Wake for Last {
    fn wake(self: Arc<Self>) {}
}

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.publish_local("dropped", &());
    }
}

#[tokio::test]
async fn no_waker_is_dropped_under_the_locks_of_the_node() {
    let a = Cluster::builder().start().await.unwrap();
    let mut dropped = a.subscribe::<()>("dropped").unwrap();
    let _serving = a.serve_raw("for ever", |_, _| std::future::pending());
    let last = || std::task::Waker::from(Arc::new(Last(a.clone())));
    let options = CallOptions::default();
    let mut call = Box::pin(a.call_raw(&a.name(), "for ever", "", options));
    let mut many = Box::pin(a.call_many_raw(Targets::All, "for ever", "", options));
    let mut quiet = a.subscribe_raw("quiet").unwrap();
    for _ in 0..2 {
        let waker = last();
        let mut context = std::task::Context::from_waker(&waker);
        assert!(call.as_mut().poll(&mut context).is_pending());
        assert!(many.as_mut().poll(&mut context).is_pending());
        let mut reads = Box::pin(quiet.recv());
        assert!(reads.as_mut().poll(&mut context).is_pending());
    }
    drop((call, many, quiet));
    for _ in 0..2 {
        assert!(matches!(
            soon(dropped.recv()).await,
            Some(Received::Message { .. })
        ));
    }
}

#[tokio::test]
async fn nobody_is_woken_under_the_locks_of_the_node() {
    let (a, b) = pair(72).await;
    let _serving = b.serve_raw("for ever", |_, _| std::future::pending());
    let asks = Arc::new(Asks(a.clone(), 0.into()));
    let waker = std::task::Waker::from(Arc::clone(&asks));
    let mut context = std::task::Context::from_waker(&waker);
    let woken = || asks.1.load(std::sync::atomic::Ordering::Relaxed);
    let poll = |timeout, context: &mut std::task::Context<'_>| {
        let options = CallOptions {
            timeout: Some(timeout),
        };
        let mut call = Box::pin(a.call_raw(&b.name(), "for ever", "", options));
        assert!(call.as_mut().poll(context).is_pending());
        call
    };
    let _ends_in_time = poll(Duration::from_millis(20), &mut context);
    let in_time = async {
        while woken() == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(in_time).await;
    let _ends_with_the_link = poll(Duration::from_secs(500), &mut context);
    soon(a.shutdown_within(Duration::ZERO)).await;
    assert_eq!(woken(), 2);
}
