use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope};
use lasso_core::name::Label;

use crate::Cluster;
use crate::events::{Outcome, RoutingDecision, RoutingEvent, Viewer};
use crate::messaging::Update;

const SOON: Duration = Duration::from_secs(20);

/// A node that runs alone.
async fn node() -> Cluster {
    Cluster::builder().start().await.expect("it starts")
}

fn profile() -> Segment {
    Segment::new("premium").unwrap()
}

async fn look(node: &Cluster) -> Viewer {
    let pass = Pass::operator(profile());
    let events = node.events(profile());
    let mut viewer = events.viewer(&pass, Scope::Profile).await.unwrap();
    assert!(viewer.recv().await.is_some(), "the snapshot");
    viewer
}

fn failure(node: &Cluster) -> RoutingEvent {
    let label = |text| Label::new("label", text).unwrap();
    let chain = Segment::new("eth").unwrap();
    let mut decision = RoutingDecision::new(
        label("a-request"),
        node.shared().unix_ms(),
        profile(),
        node.name(),
        chain,
        label("alchemy"),
    );
    decision.result = Outcome::Error;
    RoutingEvent::Decision(decision)
}

/// The machine is at work, and goes on with it until this is dropped.
fn busy(node: &Cluster) -> Sender<()> {
    let shared = Arc::clone(node.shared());
    let ((tell, is_busy), (until, dropped)) = (channel(), channel());
    std::thread::spawn(move || {
        let _at_work = shared.desk.machine.lock();
        tell.send(()).unwrap();
        let _ = dropped.recv();
    });
    is_busy.recv().unwrap();
    until
}

/// All on one thread: whoever waited for the machine would wait here for ever.
#[tokio::test]
async fn while_the_machine_works_for_viewers_no_task_waits_for_it() {
    let node = node().await;
    let (mut first, second) = (look(&node).await, look(&node).await);
    let work = busy(&node);

    let reach = node.publish_event(failure(&node)).unwrap().unwrap();
    assert_eq!(reach.subscribers, 1, "the viewers' topic");
    let mut news = node.subscribe_raw("news").unwrap();
    node.publish_raw("news", "good", crate::messaging::Audience::All)
        .unwrap();
    let came = tokio::time::timeout(SOON, news.recv()).await.unwrap();
    assert!(matches!(came, Some(Update::Message(_))));

    // What is asked of the machine itself is asked, and waits without holding up anybody.
    assert!(first.try_recv().is_none() && !first.is_stale());
    drop(second);
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    {
        let mut given_up = pin!(events.viewer(&pass, Scope::Profile));
        let polled = poll_fn(|cx| Poll::Ready(given_up.as_mut().poll(cx).is_pending())).await;
        assert!(polled, "it is not open before the machine says so");
    }
    let opening = tokio::spawn(async move { events.viewer(&pass, Scope::Profile).await });
    tokio::task::yield_now().await;
    assert_eq!(node.event_counters().live.viewers, 2, "as it was told last");

    drop(work);
    let third = tokio::time::timeout(SOON, opening).await.unwrap().unwrap();
    assert!(third.is_ok());
    let batch = tokio::time::timeout(SOON, first.recv()).await.unwrap();
    assert_eq!(batch.unwrap().events.len(), 1, "nothing was lost");
    let viewers = async {
        while node.event_counters().live.viewers != 2 {
            tokio::task::yield_now().await;
        }
    };
    let viewers = tokio::time::timeout(SOON, viewers).await;
    assert!(viewers.is_ok(), "who left or gave up meanwhile is gone");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_to_which_nothing_comes_for_thirty_seconds_is_stale_until_something_does() {
    let node = node().await;
    let mut viewer = look(&node).await;
    let work = busy(&node);
    assert!(viewer.try_recv().is_none());
    tokio::time::advance(Duration::from_millis(29_990)).await;
    assert!(!viewer.is_stale());
    tokio::time::advance(Duration::from_millis(10)).await;
    assert!(viewer.is_stale());
    drop(work);
    assert!(viewer.recv().await.is_some());
    assert!(!viewer.is_stale(), "it asks for nothing now");
}

#[tokio::test]
async fn wishes_that_a_runtime_takes_along_with_it_keep_nobody_waiting() {
    let other = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(node())
    });
    let node = other.join().unwrap();
    let pass = Pass::operator(profile());
    let opened = node.events(profile()).viewer(&pass, Scope::Profile).await;
    let error = opened.expect_err("the runtime of the node is gone");
    assert_eq!(error, crate::events::ViewError::Ended);
}
