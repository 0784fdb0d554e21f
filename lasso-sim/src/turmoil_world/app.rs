//! The application of a node in the turmoil world: tasks of the node's host pass its requests to lasso-net's
//! handle, and return the results.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::name::NodeName;
use lasso_core::plane::{Audience, Gathered, Reject};
use lasso_core::time::Instant;
use lasso_net::Cluster;
use lasso_net::messaging::{
    CallOptions, RawAnswers, RawSubscription, Serving, SubscribeOptions, Targets,
};
use lasso_net::seam::Platform;
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep_until;

use super::TurmoilWorld;
use super::platform::SimPlatform;
use super::watch::Eye;
use crate::app::{App, Ask, Order, Output, Reply, Told};
use crate::invariants::Asked;
use crate::scenario::NodeId;
use crate::world::Refusal;

/// An application, for its own task, the tasks that wait for its node, and the world.
pub(super) struct Desk {
    app: Mutex<App>,
    /// Something has happened to the application.
    woken: Notify,
    eye: Arc<Eye>,
    /// Questions that the application works on, by their number.
    questions: Mutex<Questions>,
}

#[derive(Default)]
struct Questions {
    last: u64,
    open: BTreeMap<u64, oneshot::Sender<Reply>>,
}

impl Desk {
    pub(super) fn new(seed: [u8; 32], eye: Arc<Eye>) -> Self {
        Desk {
            app: Mutex::new(App::new(seed)),
            woken: Notify::new(),
            eye,
            questions: Mutex::default(),
        }
    }

    pub(super) fn tell(&self, now: Instant, told: Told) {
        self.app.lock().handle(now, told);
        self.woken.notify_one();
    }
}

impl TurmoilWorld {
    pub(super) fn order_app(&mut self, node: NodeId, order: &Order) -> Result<(), Refusal> {
        let now = self.now;
        let process = self.process_mut(node)?;
        let (paused, desk) = (process.paused, Arc::clone(&process.desk));
        let now = Instant::ZERO + (now - process.boot);
        let key = &self.hosts[node.index()].spec.key;
        desk.app.lock().accepts(order, key, paused)?;
        desk.tell(now, Told::Order(order.clone()));
        self.kernels().touch(self.fault);
        Ok(())
    }
}

/// Carries out an application's requests for as long as its process lives.
pub(super) async fn run(cluster: Cluster, platform: SimPlatform, desk: Arc<Desk>) {
    let clock = Clock(tokio::time::Instant::now());
    let mut runner = Runner {
        cluster,
        platform,
        desk: Arc::clone(&desk),
        clock,
        readers: BTreeMap::new(),
        viewers: BTreeMap::new(),
    };
    loop {
        loop {
            let output = desk.app.lock().poll_output(clock.now());
            match output {
                Some(Output::Ask(ask)) => runner.ask(ask).await,
                Some(Output::Saw(saw)) => desk.eye.saw(clock.now(), &saw),
                None => break,
            }
        }
        let due = desk.app.lock().poll_timeout();
        let due = due.map_or(FAR, Instant::since_start);
        tokio::select! {
            biased;
            () = desk.woken.notified() => {}
            () = sleep_until(clock.0 + due) => {}
        }
    }
}

/// The node's time.
#[derive(Clone, Copy)]
pub(super) struct Clock(tokio::time::Instant);

impl Clock {
    pub(super) fn now(self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }

    /// Converts a moment of tokio.
    fn read(self, moment: tokio::time::Instant) -> Instant {
        Instant::ZERO + (moment - self.0)
    }
}

pub(super) struct Runner {
    pub(super) cluster: Cluster,
    pub(super) platform: SimPlatform,
    pub(super) desk: Arc<Desk>,
    pub(super) clock: Clock,
    /// The channels that tell each subscriber's task to read on; a task ends when its channel is dropped.
    readers: BTreeMap<u32, mpsc::UnboundedSender<()>>,
    /// The same for viewers.
    pub(super) viewers: BTreeMap<u32, mpsc::UnboundedSender<()>>,
}

impl Runner {
    async fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Subscribe { sub, topic, queue } => self.subscribe(sub, &topic, queue),
            Ask::Unsubscribe { sub } => drop(self.readers.remove(&sub)),
            Ask::Read { sub } => {
                if let Some(reader) = self.readers.get(&sub) {
                    // Its task exists as long as this end of the channel.
                    let _ = reader.send(());
                }
            }
            Ask::Publish {
                tag,
                topic,
                payload,
                audience,
            } => self.publish(tag, &topic, payload, audience),
            Ask::Serve { method } => self.serve(&method),
            Ask::Call {
                tag,
                to,
                method,
                payload,
                timeout,
            } => {
                let options = CallOptions { timeout };
                let call = self.cluster.call_raw(&to, &method, payload, options);
                let (desk, clock) = (Arc::clone(&self.desk), self.clock);
                self.platform.spawn(async move {
                    let outcome = call.await;
                    desk.tell(clock.now(), Told::Answered { tag, outcome });
                });
            }
            Ask::CallMany {
                tag,
                to,
                method,
                payload,
                timeout,
            } => self.call_many(tag, to, &method, payload, CallOptions { timeout }),
            Ask::Events(ask) => self.ask_events(ask).await,
            Ask::Metrics(ask) => self.ask_metrics(ask),
            Ask::Reply { id, reply } => {
                let question = self.desk.questions.lock().open.remove(&id);
                if let Some(question) = question {
                    // The caller may have given up, and the handler with it.
                    let _ = question.send(reply);
                }
            }
        }
    }

    fn subscribe(&mut self, sub: u32, topic: &str, queue_max: Option<usize>) {
        let options = SubscribeOptions { queue_max };
        let subscribed = self.cluster.subscribe_raw_with(topic, options);
        let error = match subscribed {
            Ok(subscription) => {
                let (reader, reads) = mpsc::unbounded_channel();
                self.readers.insert(sub, reader);
                let (desk, clock) = (Arc::clone(&self.desk), self.clock);
                self.platform
                    .spawn(read(desk, clock, sub, subscription, reads));
                None
            }
            Err(error) => Some(error.to_string()),
        };
        self.tell(Told::Subscribed { sub, error });
    }

    fn publish(&self, tag: u64, topic: &str, payload: Bytes, audience: Audience) {
        let result = self.cluster.publish_raw(topic, payload, audience);
        self.tell(Told::Published { tag, result });
    }

    fn serve(&self, method: &Arc<str>) {
        let (desk, clock, name) = (Arc::clone(&self.desk), self.clock, Arc::clone(method));
        let serving = self.cluster.serve_raw(method, move |payload, context| {
            let (answer, answered) = oneshot::channel();
            let id = {
                let mut questions = desk.questions.lock();
                questions.last += 1;
                let id = questions.last;
                questions.open.insert(id, answer);
                id
            };
            let (now, deadline) = (clock.now(), clock.read(context.deadline));
            let asked = Asked {
                from: &context.from,
                tag: crate::app::tag_of(&payload),
                left: Instant::max(deadline, now) - now,
            };
            desk.eye.asked(now, &asked);
            let method = Arc::clone(&name);
            let request = Told::Request {
                id,
                method,
                payload,
                deadline,
            };
            desk.tell(now, request);
            async move {
                match answered.await {
                    Ok(Reply::Done(answer)) => Ok(answer),
                    Ok(Reply::Rejected(reject)) => Err(reject),
                    // As `panic!` does, without the output on standard error.
                    Ok(Reply::Panics(_)) => resume_unwind(Box::new("out of order")),
                    // The node drops this at the same moment.
                    Ok(Reply::Late) => core::future::pending().await,
                    Err(_) => Err(gone()),
                }
            }
        });
        serving
            .map(Serving::forever)
            .expect("a method that is not served yet");
    }

    fn call_many(
        &self,
        tag: u64,
        to: Option<Vec<NodeName>>,
        method: &str,
        payload: Bytes,
        options: CallOptions,
    ) {
        // The nodes that the handle will ask are computed here too, so that this can be checked.
        let nodes = to.clone();
        let nodes = nodes.unwrap_or_else(|| self.cluster.inspect(crate::inspect::linked));
        self.tell(Told::Targets { tag, nodes });
        let targets = to.map_or(Targets::All, Targets::Nodes);
        let call = self
            .cluster
            .call_many_raw(targets, method, payload, options);
        let (desk, clock) = (Arc::clone(&self.desk), self.clock);
        self.platform.spawn(async move {
            let gathered = call.await.map(gathered);
            desk.tell(clock.now(), Told::Gathered { tag, gathered });
        });
    }

    pub(super) fn tell(&self, told: Told) {
        self.desk.tell(self.clock.now(), told);
    }
}

/// Reads for a subscriber on each request, until there are no more.
async fn read(
    desk: Arc<Desk>,
    clock: Clock,
    sub: u32,
    mut subscription: RawSubscription,
    mut reads: mpsc::UnboundedReceiver<()>,
) {
    while let Some(()) = reads.recv().await {
        let first = tokio::select! {
            biased;
            // It reads once at a time, so this is its end.
            _ = reads.recv() => return,
            first = subscription.recv() => first,
        };
        let Some(first) = first else { return };
        let mut updates = vec![first];
        updates.extend(core::iter::from_fn(|| subscription.try_recv()));
        desk.tell(clock.now(), Told::Updates { sub, updates });
    }
}

fn gathered(answers: RawAnswers) -> Gathered {
    Gathered {
        outcomes: answers.outcomes,
        joined: answers.coverage.joined,
        left: answers.coverage.left,
        epoch: answers.coverage.epoch,
    }
}

fn gone() -> Reject {
    Reject {
        code: 0,
        message: "the application is gone".to_owned(),
    }
}

/// A deadline that never comes.
const FAR: core::time::Duration = core::time::Duration::from_secs(365 * 24 * 3600);
