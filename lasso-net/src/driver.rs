//! The loop of a node: waits, feeds the machine, carries out what the machine says.
//!
//! Architecture invariant: nothing here decides anything about the protocol. What arrived is handled
//! before what is due, so that a node that was late hears its peers before it judges them. No lock is
//! held across an await.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lasso_core::discovery::Family;
use lasso_core::node::{ConnId, Input, NetError, Node, Output};
use lasso_core::time::Instant;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::sleep_until;

use crate::conn::{self, Conn, Happening};
use crate::seam::{Listener, Platform};
use crate::{Observer, TopologyEvent, notice};

/// What the loop and the handles of a node have in common.
pub(crate) struct Shared {
    pub(crate) node: Mutex<Node>,
    /// When the node's time began.
    started: tokio::time::Instant,
    /// Tells the loop that a handle has given the node an input.
    woken: Notify,
    pub(crate) events: broadcast::Sender<Arc<TopologyEvent>>,
    observer: Option<Arc<dyn Observer>>,
    /// True once the node has said goodbye and its connections are closed.
    pub(crate) stopped: watch::Sender<bool>,
    /// True while the machine handles an input; it stays true when it panicked over it, which only a
    /// bug of ours does, and then it is driven no more.
    handling: AtomicBool,
}

impl Shared {
    pub(crate) fn new(node: Node, observer: Option<Arc<dyn Observer>>) -> Self {
        Shared {
            node: Mutex::new(node),
            started: tokio::time::Instant::now(),
            woken: Notify::new(),
            events: broadcast::Sender::new(EVENTS_KEPT),
            observer,
            stopped: watch::Sender::new(false),
            handling: AtomicBool::new(false),
        }
    }

    /// The present, on the node's clock.
    pub(crate) fn now(&self) -> Instant {
        Instant::ZERO + self.started.elapsed()
    }

    /// Gives the node an input from outside its loop.
    pub(crate) fn command(&self, input: Input) {
        self.handle(input);
        self.woken.notify_one();
    }

    fn handle(&self, input: Input) {
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
    }

    /// Whether the machine panicked, maybe in a thread that called a handle.
    fn is_broken(&self) -> bool {
        let _idle = self.node.lock();
        self.handling.load(Ordering::Relaxed)
    }

    /// Whether the machine has a deadline that has passed.
    fn is_due(&self) -> bool {
        let deadline = self.node.lock().poll_timeout();
        deadline.is_some_and(|deadline| deadline <= self.now())
    }

    fn next_output(&self) -> Option<Output> {
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
}

/// The loop's own state.
pub(crate) struct Driver<P: Platform> {
    platform: P,
    shared: Arc<Shared>,
    conns: BTreeMap<ConnId, Conn>,
    /// Dials under way; dropping one gives it up.
    dials: BTreeMap<ConnId, watch::Sender<()>>,
    next_in: u64,
    /// Places for connections that wait for their peers to close as well.
    lingering: Arc<Semaphore>,
    /// The machine has said its last word.
    stopped: bool,
    happenings: mpsc::Sender<Happening<P::Stream>>,
    /// Dropped when the node stops: whoever waits for the outside world gives up.
    stop: watch::Sender<()>,
}

/// Drives the node until it has said goodbye.
pub(crate) async fn run<P: Platform>(
    platform: P,
    shared: Arc<Shared>,
    listener: Option<P::Listener>,
) {
    let _stopped = Stopped(Arc::clone(&shared));
    let (happenings, mut inbox) = mpsc::channel(INBOX);
    let stop = watch::Sender::new(());
    if let Some(listener) = listener {
        platform.spawn(accept(listener, happenings.clone(), stop.subscribe()));
    }
    let (conns, dials) = (BTreeMap::new(), BTreeMap::new());
    let mut driver = Driver {
        platform,
        shared: Arc::clone(&shared),
        conns,
        dials,
        next_in: 0,
        lingering: Arc::new(Semaphore::new(conn::LINGERING_MAX)),
        stopped: false,
        happenings,
        stop,
    };
    while driver.perform_all() {
        let deadline = shared.node.lock().poll_timeout();
        let due = shared.started + deadline.map_or(FAR, Instant::since_start);
        tokio::select! {
            biased;
            Some(happening) = inbox.recv() => {
                driver.on(happening);
                // Whatever else waits is older than any deadline that is looked at next.
                for _ in 0..INBOX {
                    let Ok(happening) = inbox.try_recv() else { break };
                    driver.on(happening);
                    driver.perform_all();
                }
                // More may wait already: peers that never pause must not hold up the clock.
                if shared.is_due() {
                    shared.handle(Input::Tick);
                }
            }
            () = shared.woken.notified() => {}
            () = sleep_until(due) => shared.handle(Input::Tick),
        }
    }
    // Every connection sends what is left and ends within a second; the last one closes the inbox.
    drop(driver);
    while inbox.recv().await.is_some() {}
}

/// Tells everybody who waits that the loop has ended, however it did.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.stopped.send_replace(true);
    }
}

async fn accept<L: Listener>(
    mut listener: L,
    happenings: mpsc::Sender<Happening<L::Stream>>,
    mut stop: watch::Receiver<()>,
) where
    L::Stream: Send,
{
    // One line in the log per change, not per try.
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.changed() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                if core::mem::take(&mut failing) {
                    tracing::info!("connections are accepted again");
                }
                if happenings
                    .send(Happening::Accepted(stream, from))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Err(error) => {
                // Out of sockets, most likely: what is there goes on, and more may come later.
                if !failing {
                    tracing::warn!(%error, "connections cannot be accepted");
                }
                failing = true;
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

impl<P: Platform> Driver<P> {
    fn on(&mut self, happening: Happening<P::Stream>) {
        match happening {
            Happening::Input(Input::Closed { conn, error }) => {
                self.conns.remove(&conn);
                self.shared.handle(Input::Closed { conn, error });
            }
            Happening::Input(input) => self.shared.handle(input),
            Happening::Accepted(stream, from) => {
                let conn = ConnId::In(self.next_in);
                self.next_in += 1;
                self.open(conn, stream);
                self.shared.handle(Input::Accepted { conn, from });
            }
            Happening::Dialled(conn, result) => {
                if self.dials.remove(&conn).is_none() {
                    return;
                }
                match result {
                    Ok(stream) => {
                        self.open(conn, stream);
                        self.shared.handle(Input::Connected { conn });
                    }
                    Err(error) => {
                        let error = dial_error(&error);
                        self.shared.handle(Input::Closed { conn, error });
                    }
                }
            }
        }
    }

    /// Carries out what the machine says; false once it has stopped, or can go on no more.
    fn perform_all(&mut self) -> bool {
        while let Some(output) = self.shared.next_output() {
            match output {
                Output::Resolve {
                    query,
                    name,
                    family,
                } => {
                    let answered = move |answer| Input::Resolved {
                        query,
                        family,
                        answer,
                    };
                    self.resolve(name, family, answered);
                }
                Output::Dial { conn, to } => self.dial(conn, to),
                Output::Send { conn, bytes } => {
                    if let Some(conn) = self.conns.get(&conn) {
                        conn.send(bytes);
                    }
                }
                Output::Close { conn, .. } => {
                    self.dials.remove(&conn);
                    self.conns.remove(&conn);
                }
                Output::Event(event) => {
                    // Nobody may be subscribed.
                    let _ = self.shared.events.send(Arc::new(event));
                }
                Output::Notice(told) => notice::log(&told),
                Output::Linked { .. } | Output::Plane(_) => {}
                Output::Stopped => self.stopped = true,
            }
        }
        !self.stopped && !self.shared.is_broken()
    }

    fn open(&mut self, conn: ConnId, stream: P::Stream) {
        let (happenings, lingering) = (&self.happenings, &self.lingering);
        let opened = conn::open(&self.platform, conn, stream, happenings, lingering);
        self.conns.insert(conn, opened);
    }

    fn dial(&mut self, conn: ConnId, to: SocketAddr) {
        let gives_up = watch::Sender::new(());
        let mut given_up = gives_up.subscribe();
        self.dials.insert(conn, gives_up);
        let (platform, happenings) = (self.platform.clone(), self.happenings.clone());
        self.platform.spawn(async move {
            let result = tokio::select! {
                biased;
                _ = given_up.changed() => return,
                result = platform.connect(to) => result,
            };
            let _ = happenings.send(Happening::Dialled(conn, result)).await;
        });
    }

    fn resolve<F>(&self, name: String, family: Family, answered: F)
    where
        F: FnOnce(lasso_core::node::DnsAnswer) -> Input + Send + 'static,
    {
        let (platform, happenings) = (self.platform.clone(), self.happenings.clone());
        let mut stop = self.stop.subscribe();
        self.platform.spawn(async move {
            let answer = tokio::select! {
                biased;
                _ = stop.changed() => return,
                answer = platform.resolve(name, family) => answer,
            };
            let _ = happenings.send(Happening::Input(answered(answer))).await;
        });
    }
}

fn dial_error(error: &std::io::Error) -> NetError {
    if error.kind() == std::io::ErrorKind::ConnectionRefused {
        NetError::Refused
    } else {
        NetError::Unreachable
    }
}

/// Events that a subscriber may lag behind before it is told that it missed some.
const EVENTS_KEPT: usize = 1024;
/// Happenings that wait for the loop; more make readers wait, which TCP passes on to the peers.
const INBOX: usize = 256;
/// After a failed accept.
const ACCEPT_BACKOFF: core::time::Duration = core::time::Duration::from_millis(100);
/// A deadline that never comes: what is scheduled meanwhile wakes the loop.
const FAR: core::time::Duration = core::time::Duration::from_secs(365 * 24 * 3600);
