//! The loop of a node: waits, feeds the machine, carries out what the machine says.
//!
//! Architecture invariant: nothing here decides anything about the protocol. What arrived is
//! handled before what is due, so that a node that was late hears its peers before it judges them.
//! Of a link that was taken over only control frames arrive here; its reader notes by itself when
//! bytes came. No lock is held across an await.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use lasso_core::discovery::Family;
use lasso_core::metrics::service::Membership;
use lasso_core::node::{ConnId, Input, NetError, Output};
use lasso_core::plane::PlaneOutput;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::conn::{self, Conn, Happening};
use crate::log;
use crate::seam::{Listener, Platform};
use crate::shared::Shared;

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
    /// Tells which events make the cluster's answers old.
    membership: Membership,
    /// The machine has said its last word.
    stopped: bool,
    happenings: mpsc::Sender<Happening<P::Stream>>,
    /// Dropped when the node stops: whoever waits for the outside world gives up.
    stop: watch::Sender<()>,
}

/// Drives the node until it has said goodbye. Who waits is told also where this is never polled.
pub(crate) fn run<P: Platform>(
    platform: P,
    shared: Arc<Shared>,
    listener: Option<P::Listener>,
) -> impl Future<Output = ()> + Send {
    let stopped = Stopped(Arc::clone(&shared));
    drive(platform, shared, listener, stopped)
}

async fn drive<P: Platform>(
    platform: P,
    shared: Arc<Shared>,
    listener: Option<P::Listener>,
    _stopped: Stopped,
) {
    let (happenings, mut inbox) = mpsc::channel(INBOX);
    let stop = watch::Sender::new(());
    if let Some(listener) = listener {
        let accepting = accept(
            listener,
            Arc::clone(&shared),
            happenings.clone(),
            stop.subscribe(),
        );
        platform.spawn(accepting);
    }
    let (conns, dials) = (BTreeMap::new(), BTreeMap::new());
    let lingering = platform.lingering_max();
    let mut driver = Driver {
        platform,
        shared: Arc::clone(&shared),
        conns,
        dials,
        next_in: 0,
        lingering: Arc::new(Semaphore::new(lingering)),
        membership: Membership::default(),
        stopped: false,
        happenings,
        stop,
    };
    while driver.perform_all() {
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
                    shared.tick();
                }
            }
            due = shared.sleep() => if due {
                shared.tick();
            }
        }
    }
    shared.tell_suppressed(true);
    // Every connection sends what is left and ends within a second; the last one closes the inbox.
    drop(driver);
    while inbox.recv().await.is_some() {}
}

/// Tells everybody who waits that the loop has ended, however it did.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.ended();
    }
}

async fn accept<L: Listener>(
    mut listener: L,
    shared: Arc<Shared>,
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
                    shared.lines.say("accepting", "", || {
                        tracing::info!("connections are accepted again");
                    });
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
                    shared.lines.say("accepting", "", move || {
                        tracing::warn!(%error, "connections cannot be accepted");
                    });
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
            Happening::Paused(conn) => self.take_over(conn),
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
                Output::Linked { conn } => {
                    if let Some(conn) = self.conns.get(&conn) {
                        conn.pause();
                    }
                }
                Output::Plane(PlaneOutput::Request(request)) => {
                    self.shared.handlers.hand_over(&self.shared, request);
                }
                // Handles ask the data plane itself.
                Output::Plane(_) => {}
                Output::Event(event) => {
                    if self.membership.changes_with(&event) {
                        self.shared.metrics.membership_changed();
                    }
                    // Nobody may be subscribed.
                    let _ = self.shared.events.send(Arc::new(event));
                }
                Output::Notice(told) => {
                    log::notice(&self.shared.lines, told);
                }
                Output::Stopped => self.stopped = true,
            }
        }
        !self.stopped && !self.shared.is_broken()
    }

    fn open(&mut self, conn: ConnId, stream: P::Stream) {
        let (happenings, lingering) = (&self.happenings, &self.lingering);
        let (platform, shared) = (&self.platform, &self.shared);
        let opened = conn::open(platform, shared, conn, stream, happenings, lingering);
        self.conns.insert(conn, opened);
    }

    /// The reader of a link has handed over all that it has read: from now on both tasks carry the
    /// link's bytes themselves. A connection that is no link any more goes on as it was.
    fn take_over(&mut self, conn: ConnId) {
        let link = loop {
            self.perform_all();
            // A handle may have given the node something to say meanwhile.
            let mut node = self.shared.node.lock();
            if !node.has_outputs() {
                break node.detach(conn);
            }
        };
        if let Some(conn) = self.conns.get(&conn) {
            conn.go_on(link);
        }
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

/// Happenings that wait for the loop; more make readers wait, which TCP passes on to the peers.
const INBOX: usize = 256;
/// After a failed accept.
const ACCEPT_BACKOFF: core::time::Duration = core::time::Duration::from_millis(100);
