//! What the loop of a node, its links' tasks and its handles have in common.
//!
//! Two locks: the node's, for all that decides about the cluster, and the data plane's. Where both
//! are held, the node's was taken first. Live events have theirs: that of the desk's machine, which its
//! runner alone takes, and under which the data plane's and the desk's front may be taken, and the node's
//! never; those of the front, of a viewer's seat and of the sampler, under which none is. Those of
//! metrics are named where they are. None is held across an await. No task of an application is woken
//! under any, and no waker dropped: it may use a handle of the node.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::Waker;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use lasso_core::node::{ConnId, Input, Node, Output};
use lasso_core::plane::{Audience, Effects, Plane, PublishError, Reach, SharedPlane, Wake};
use lasso_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::{Notify, broadcast, watch};

use crate::events::Desk;
use crate::log::Lines;
use crate::messaging::{Handlers, PublishClock};
use crate::metrics;
use crate::seam::Platform;
use crate::{Observer, TopologyEvent};

/// A task that ends with its host.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done aside from all tasks.
type Work = Box<dyn FnOnce() + Send>;

/// See the module's text.
pub(crate) struct Shared {
    pub(crate) node: Mutex<Node>,
    plane: SharedPlane,
    /// What answers the calls of peers.
    pub(crate) handlers: Handlers,
    pub(crate) publish_clock: PublishClock,
    /// Live events and who looks at them.
    pub(crate) desk: Desk,
    pub(crate) metrics: Arc<metrics::State>,
    /// What is logged.
    pub(crate) lines: Arc<Lines>,
    /// When the node's time began.
    started: tokio::time::Instant,
    /// Tells the loop that a handle has given the node an input.
    woken: Notify,
    /// The moment until which the loop sleeps, in nanoseconds; the far future while it does not.
    alarm: AtomicU64,
    pub(crate) events: broadcast::Sender<Arc<TopologyEvent>>,
    observer: Option<Arc<dyn Observer>>,
    /// True once the node has said goodbye and its connections are closed.
    pub(crate) stopped: watch::Sender<bool>,
    /// True while the machine handles an input; it stays true when it panicked over it, which only a
    /// bug of ours does, and then it is driven no more.
    handling: AtomicBool,
    spawn: Box<dyn Fn(Task) + Send + Sync>,
    aside: Box<dyn Fn(Work) + Send + Sync>,
    unix_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Shared {
    pub(crate) fn new(
        platform: &impl Platform,
        node: Node,
        desk: Desk,
        observer: Option<Arc<dyn Observer>>,
        metrics: Arc<metrics::State>,
    ) -> Self {
        let (spawner, worker, wall) = (platform.clone(), platform.clone(), platform.clone());
        Shared {
            lines: Arc::clone(metrics.lines()),
            plane: Arc::clone(node.plane()),
            node: Mutex::new(node),
            handlers: Handlers::default(),
            publish_clock: PublishClock::default(),
            desk,
            metrics,
            started: tokio::time::Instant::now(),
            woken: Notify::new(),
            alarm: AtomicU64::new(NEVER),
            events: broadcast::Sender::new(EVENTS_KEPT),
            observer,
            stopped: watch::Sender::new(false),
            handling: AtomicBool::new(false),
            spawn: Box::new(move |task| spawner.spawn(task)),
            aside: Box::new(move |work| worker.aside(work)),
            unix_ms: Box::new(move || wall.unix_ms()),
        }
    }

    /// The present, on the node's clock.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// A moment of the node's clock on tokio's.
    pub(crate) fn at(&self, moment: Instant) -> tokio::time::Instant {
        let far = self.started + FAR;
        let at = self.started.checked_add(moment.since_start());
        at.map_or(far, |at| at.min(far))
    }

    /// Milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> u64 {
        (self.unix_ms)()
    }

    /// Starts a task that ends with the node's host.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        (self.spawn)(Box::pin(task));
    }

    /// Does work that may take a while where no task waits for it; see [`Platform::aside`].
    pub(crate) fn aside(&self, work: impl FnOnce() + Send + 'static) {
        (self.aside)(Box::new(work));
    }

    /// Gives the node an input from outside its loop.
    pub(crate) fn command(&self, input: Input) {
        self.handle(input);
        self.woken.notify_one();
    }

    pub(crate) fn handle(&self, input: Input) {
        let mut node = self.node.lock();
        if self.handling.swap(true, Ordering::Relaxed) {
            return;
        }
        // Read under the lock: no input may be older than one that was handled before it.
        let now = self.now();
        if let Some(observer) = &self.observer {
            observer.input(now, &input);
        }
        node.handle(now, input);
        self.handling.store(false, Ordering::Relaxed);
        let woken = node.take_woken();
        drop(node);
        woken.into_iter().for_each(Waker::wake);
    }

    /// Whether the machine panicked, maybe in a thread that called a handle.
    pub(crate) fn is_broken(&self) -> bool {
        let _idle = self.node.lock();
        self.handling.load(Ordering::Relaxed)
    }

    /// Something is due: of the machine, or a word about log lines that were suppressed.
    pub(crate) fn tick(&self) {
        self.handle(Input::Tick);
        self.tell_suppressed(false);
    }

    /// Tells what log lines were suppressed: now, or once a minute.
    pub(crate) fn tell_suppressed(&self, now: bool) {
        let notices = self.node.lock().counters().notices_held;
        self.lines.tell_suppressed(notices, now);
    }

    /// Whether the machine has a deadline that has passed.
    pub(crate) fn is_due(&self) -> bool {
        let deadline = self.node.lock().poll_timeout();
        deadline.is_some_and(|deadline| deadline <= self.now())
    }

    /// Tells the observer that bytes came which do not pass through the node.
    pub(crate) fn received(&self, now: Instant, conn: ConnId, bytes: &[u8]) {
        if let Some(observer) = &self.observer {
            observer.received(now, conn, bytes);
        }
    }

    pub(crate) fn next_output(&self) -> Option<Output> {
        let mut node = self.node.lock();
        let output = node.poll_output();
        if let Some(observer) = &self.observer {
            match &output {
                Some(output) => observer.output(self.now(), output),
                None => observer.settled(self.now(), &node),
            }
        }
        output
    }

    /// Publishes; see [`Cluster::publish_raw`](crate::Cluster::publish_raw).
    pub(crate) fn publish(
        self: &Arc<Self>,
        topic: &str,
        payload: &Bytes,
        audience: &Audience,
    ) -> Result<Reach, PublishError> {
        let began = self.publish_clock.begin();
        let unix_ms = self.unix_ms();
        let mut effects = Effects::default();
        let mut plane = self.plane.lock();
        let now = || self.now();
        let reach = plane.publish(now, unix_ms, topic, payload, audience, &mut effects);
        let deadline = plane.deadline();
        drop(plane);
        self.wake_loop_for(deadline);
        if !effects.is_empty() {
            self.carry_out(effects);
        }
        self.publish_clock.end(began);
        reach
    }

    /// Does something with the data plane, and then what the plane wants done. The time that `act`
    /// is given was read under the plane's lock.
    pub(crate) fn with_plane<R>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Plane, Instant, &mut Effects) -> R,
    ) -> R {
        let mut effects = Effects::default();
        let (result, deadline, spent) = {
            let mut plane = self.plane.lock();
            let result = act(&mut plane, self.now(), &mut effects);
            (result, plane.deadline(), plane.take_spent())
        };
        drop(spent);
        self.wake_loop_for(deadline);
        self.carry_out(effects);
        result
    }

    /// Reads the data plane, or what nobody is woken by.
    pub(crate) fn read_plane<R>(&self, read: impl FnOnce(&mut Plane) -> R) -> R {
        let (result, spent) = {
            let mut plane = self.plane.lock();
            (read(&mut plane), plane.take_spent())
        };
        drop(spent);
        result
    }

    /// Wakes whoever is to be woken, and hands calls to their handlers.
    pub(crate) fn carry_out(self: &Arc<Self>, effects: Effects) {
        for wake in effects.wakes {
            // Whoever has left no waker looks by itself.
            if let Wake::Task(waker) = wake {
                waker.wake();
            }
        }
        for request in effects.requests {
            self.handlers.hand_over(self, request);
        }
    }

    /// The loop is to be awake at `deadline`, which was set outside of it.
    pub(crate) fn wake_loop_for(&self, deadline: Option<Instant>) {
        let Some(deadline) = deadline.map(Instant::as_nanos) else {
            return;
        };
        // Looked at first: nearly always the loop is to be awake before that anyway.
        if deadline < self.alarm.load(Ordering::SeqCst)
            && deadline < self.alarm.fetch_min(deadline, Ordering::SeqCst)
        {
            self.woken.notify_one();
        }
    }

    /// Sleeps until the machine's next deadline; false when it was woken before that.
    pub(crate) async fn sleep(&self) -> bool {
        // Whoever sets an earlier deadline from now on sees what is written here and wakes the loop;
        // what was set before is in the deadline that is read next.
        self.alarm.store(NEVER, Ordering::SeqCst);
        let deadline = self.node.lock().poll_timeout();
        let deadline = deadline.unwrap_or(Instant::FAR_FUTURE);
        self.alarm.fetch_min(deadline.as_nanos(), Ordering::SeqCst);
        tokio::select! {
            biased;
            () = self.woken.notified() => false,
            () = tokio::time::sleep_until(self.at(deadline)) => true,
        }
    }

    /// Whether the loop has ended.
    pub(crate) fn has_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    /// Tells everybody who waits that the loop has ended, however it did.
    pub(crate) fn ended(self: &Arc<Self>) {
        self.stopped.send_replace(true);
        self.with_plane(|plane, _, effects| plane.end(effects));
        // After that, when none comes any more.
        self.handlers.clear();
        self.desk.stop(self);
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

/// Events that a subscriber may lag behind before it is told that it missed some.
const EVENTS_KEPT: usize = 1024;
/// No moment of the node's clock.
const NEVER: u64 = u64::MAX;
/// A deadline that never comes: what is scheduled meanwhile wakes the loop.
const FAR: core::time::Duration = core::time::Duration::from_secs(365 * 24 * 3600);
