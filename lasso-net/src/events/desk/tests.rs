use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::task::Wake;

use lasso_core::config::{NodeConfig, Settings};
use lasso_core::discovery::Family;
use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope, ScopeError};
use lasso_core::name::{Label, NodeName};
use lasso_core::node::DnsAnswer;
use lasso_core::secure::Security;
use parking_lot::Mutex;

use super::{AT_ONCE, Presence, Wish, call};
use crate::Cluster;
use crate::events::{Delivery, Events, Outcome, RoutingDecision, RoutingEvent, ViewError, Viewer};
use crate::messaging::Update;
use crate::seam::Platform;
use crate::tokio_platform::TokioPlatform;

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
    let given_up = waits(pin!(events.viewer(&pass, Scope::Profile))).await;
    assert!(given_up, "it is not open before the machine says so");
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
    let events = node.events(profile());
    let opened = tokio::time::timeout(SOON, events.viewer(&pass, Scope::Profile)).await;
    let error = opened.unwrap().expect_err("the runtime is gone");
    assert_eq!(error, ViewError::Ended);
}

/// Polls once; true when it is to be waited for.
async fn waits<T>(what: Pin<&mut impl Future<Output = T>>) -> bool {
    let mut what = what;
    poll_fn(|cx| Poll::Ready(what.as_mut().poll(cx).is_pending())).await
}

/// What comes until the end, which is soon; and it stays the end.
async fn rest(viewer: &mut Viewer) -> Vec<Delivery> {
    let mut came = Vec::new();
    let all = async {
        while let Some(delivery) = viewer.recv().await {
            came.push(delivery);
        }
    };
    tokio::time::timeout(SOON, all).await.expect("it is told");
    let again = tokio::time::timeout(SOON, viewer.recv()).await;
    assert!(matches!(again, Ok(None)), "and is told again");
    assert!(viewer.try_recv().is_none());
    came
}

#[tokio::test]
async fn viewers_are_told_when_their_nodes_runtime_is_gone_whatever_they_were_doing() {
    let ((tell, opened), (until, dropped)) = (channel(), channel::<()>());
    let other = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let viewers = runtime.block_on(async {
            let node = node().await;
            (look(&node).await, look(&node).await)
        });
        tell.send(viewers).unwrap();
        let _ = dropped.recv();
    });
    let (mut waiting, mut idle) = opened.recv().unwrap();
    assert!(waits(pin!(waiting.recv())).await, "nothing is new");
    drop(until);
    other.join().unwrap();
    rest(&mut waiting).await;
    rest(&mut idle).await;
}

#[tokio::test]
async fn what_came_before_the_stop_is_read_and_nothing_after_the_end() {
    let node = node().await;
    let (mut waiting, mut idle) = (look(&node).await, look(&node).await);
    assert!(waits(pin!(waiting.recv())).await, "nothing is new");
    // It waits for its batch, for half a second.
    let reach = node.publish_event(failure(&node)).unwrap().unwrap();
    assert_eq!(reach.subscribers, 1);
    node.shutdown().await;
    for viewer in [&mut waiting, &mut idle] {
        let came = rest(viewer).await;
        let events: usize = came.iter().map(|delivery| delivery.events.len()).sum();
        assert_eq!(events, 1);
    }
}

#[tokio::test]
async fn a_node_that_has_stopped_shows_nothing_and_says_so() {
    let mut settings = Settings::default();
    settings.events.viewers_max = 2;
    let node = Cluster::builder().settings(settings).start().await.unwrap();
    node.shutdown().await;
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    for _ in 0..3 {
        let opened = tokio::time::timeout(SOON, events.viewer(&pass, Scope::Profile)).await;
        assert_eq!(opened.unwrap().unwrap_err(), ViewError::Ended);
    }
}

#[tokio::test]
async fn openings_that_were_given_up_are_not_carried_out() {
    let node = node().await;
    let work = busy(&node);
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    for _ in 0..2_000 {
        assert!(waits(pin!(events.viewer(&pass, Scope::Profile))).await);
    }
    drop(work);
    let _other = tokio::time::timeout(SOON, look(&node)).await.unwrap();
    let live = node.event_counters().live;
    assert_eq!((live.stream.admitted, live.viewers), (1, 1));
}

/// As many of them as may wait are waiting.
async fn openings<'a>(
    events: &'a Events,
    pass: &'a Pass,
    count: usize,
) -> Vec<Pin<Box<impl Future<Output = Result<Viewer, ViewError>> + 'a>>> {
    let mut waiting = Vec::new();
    for _ in 0..count {
        let mut opening = Box::pin(events.viewer(pass, Scope::Profile));
        assert!(waits(opening.as_mut()).await);
        waiting.push(opening);
    }
    waiting
}

#[tokio::test]
async fn openings_that_wait_are_bounded_and_those_that_were_given_up_make_room() {
    let mut settings = Settings::default();
    settings.events.viewers_max = 10;
    let node = Cluster::builder().settings(settings).start().await.unwrap();
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    let presence = |presence| node.shared().desk.front.lock().presence = presence;
    presence(Presence::AtWork); // and it has no time
    let mut waiting = openings(&events, &pass, 10).await;
    let refused = events.viewer(&pass, Scope::Profile).await.unwrap_err();
    let (profile, max) = (profile(), 10);
    let crowded = ScopeError::TooManyViewers { profile, max };
    assert_eq!(refused, ViewError::Scope(crowded));
    assert_eq!(node.event_counters().live.stream.crowded, 1);
    waiting.truncate(7);
    waiting.extend(openings(&events, &pass, 3).await);
    presence(Presence::Called);
    call(node.shared());
    for opening in waiting {
        let opened = tokio::time::timeout(SOON, opening).await;
        assert!(opened.unwrap().is_ok());
    }
}

/// Notes how many viewers there are when it is woken first.
struct Witness(Cluster, OnceLock<usize>);

impl Wake for Witness {
    fn wake(self: Arc<Self>) {
        let _ = self.1.set(self.0.event_counters().live.viewers);
    }
}

#[tokio::test]
async fn nobody_waits_for_more_than_a_turn_of_others() {
    let node = node().await;
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    let presence = |presence| node.shared().desk.front.lock().presence = presence;
    presence(Presence::AtWork); // and it has no time
    let witness = Arc::new(Witness(node.clone(), OnceLock::new()));
    let waker = Waker::from(Arc::clone(&witness));
    let mut first = Box::pin(events.viewer(&pass, Scope::Profile));
    let mut cx = Context::from_waker(&waker);
    assert!(first.as_mut().poll(&mut cx).is_pending());
    let others = openings(&events, &pass, 2 * AT_ONCE).await;
    presence(Presence::Called);
    call(node.shared());
    for opening in others {
        let opened = tokio::time::timeout(SOON, opening).await;
        assert!(opened.unwrap().is_ok());
    }
    assert_eq!(witness.1.get(), Some(&AT_ONCE), "when the first was told");
}

#[tokio::test]
async fn when_a_bug_ends_live_events_all_who_wait_are_told_and_nothing_is_left() {
    let node = node().await;
    let (mut waiting, mut idle) = (look(&node).await, look(&node).await);
    assert!(waits(pin!(waiting.recv())).await, "nothing is new");
    let work = busy(&node);
    node.shared().desk.wish(node.shared(), Wish::Panic);
    let (pass, events) = (Pass::operator(profile()), node.events(profile()));
    let [opening] = <[_; 1]>::try_from(openings(&events, &pass, 1).await)
        .ok()
        .unwrap();
    drop(work);
    let opened = tokio::time::timeout(SOON, opening).await;
    assert_eq!(opened.unwrap().unwrap_err(), ViewError::Ended);
    rest(&mut waiting).await;
    rest(&mut idle).await;
    let late = tokio::time::timeout(SOON, events.viewer(&pass, Scope::Profile)).await;
    assert_eq!(late.unwrap().unwrap_err(), ViewError::Ended);
    let live = node.event_counters().live;
    assert_eq!(
        (live.viewers, live.topics, live.has_deadline),
        (0, 0, false)
    );
    let unread = async {
        while node
            .publish_event(failure(&node))
            .unwrap()
            .unwrap()
            .subscribers
            > 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, unread)
        .await
        .expect("no topic is read");
}

/// Where the system gives no thread; what was to run there waits for one, as it does in tokio.
#[derive(Clone)]
struct Threadless(TokioPlatform, Arc<Mutex<Vec<Work>>>);

type Work = Box<dyn FnOnce() + Send>;

impl Platform for Threadless {
    type Stream = <TokioPlatform as Platform>::Stream;
    type Listener = <TokioPlatform as Platform>::Listener;

    async fn bind(&self, address: SocketAddr) -> io::Result<Self::Listener> {
        self.0.bind(address).await
    }

    async fn connect(&self, to: SocketAddr) -> io::Result<Self::Stream> {
        self.0.connect(to).await
    }

    async fn resolve(&self, name: String, family: Family) -> DnsAnswer {
        self.0.resolve(name, family).await
    }

    fn unix_ms(&self) -> u64 {
        self.0.unix_ms()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }

    fn aside(&self, work: impl FnOnce() + Send + 'static) {
        self.1.lock().push(Box::new(work));
        panic!("the system gives no thread");
    }
}

#[tokio::test]
async fn where_the_system_gives_no_thread_whoever_wants_something_does_it() {
    let platform = Threadless(TokioPlatform::new(None), Arc::default());
    let name: NodeName = "app@127.0.0.1".parse().unwrap();
    let config = NodeConfig::new(name, Security::InsecureNull);
    let node = Cluster::start_on(platform.clone(), config, [7; 32], None, None);
    let node = node.await.unwrap();
    let mut viewer = tokio::time::timeout(SOON, look(&node)).await.unwrap();
    node.publish_event(failure(&node)).unwrap();
    let batch = tokio::time::timeout(SOON, viewer.recv()).await.unwrap();
    assert_eq!(batch.unwrap().events.len(), 1);
    // A thread comes, and finds all done.
    let late = core::mem::take(&mut *platform.1.lock());
    late.into_iter().for_each(|work| work());
    let next = tokio::time::timeout(SOON, viewer.recv()).await.unwrap();
    assert!(next.is_some());
    drop(viewer);
    assert_eq!(node.event_counters().live.viewers, 0);
}

#[tokio::test]
async fn a_chain_that_gives_way_has_made_room_for_the_one_that_takes_its_place() {
    let mut settings = Settings::default();
    settings.events.chains_max = 1;
    settings.pubsub.interest_max = 4; // the scope's topic, and three of a chain
    let node = Cluster::builder().settings(settings).start().await.unwrap();
    let pass = Pass::operator(profile());
    for chain in ["eth", "base", "eth"] {
        let events = node
            .events(profile())
            .chains([Segment::new(chain).unwrap()]);
        let opened = tokio::time::timeout(SOON, events.viewer(&pass, Scope::Profile)).await;
        assert!(opened.unwrap().is_ok(), "{chain}");
    }
}
