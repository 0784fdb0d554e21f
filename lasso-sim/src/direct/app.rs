//! The application of a node in the direct world: its requests become commands of the machine, and the
//! machine's results return to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use lasso_core::node::{Command, Input};
use lasso_core::plane::{Answer, PlaneCommand, PlaneOutput, Reject, ServeId, SubscriberId};
use lasso_core::time::{Instant, earliest};

use super::live::LiveDesk;
use super::metrics::MetricsDesk;
use super::{DirectWorld, Event};
use crate::app::{App, Ask, Order, Output, Reply, Saw, Told};
use crate::invariants::Asked;
use crate::scenario::NodeId;
use crate::world::Refusal;

/// An application, and the state between it and its node.
#[derive(Debug)]
pub(super) struct Desk {
    app: App,
    ids: BTreeMap<u32, SubscriberId>,
    subs: BTreeMap<SubscriberId, u32>,
    /// Subscribers that wait for updates.
    waiting: BTreeSet<u32>,
    /// Those of them that have updates.
    readable: VecDeque<u32>,
    /// Requests whose caller's link was lost: the application's replies to them are dropped, as if their
    /// handlers had been dropped.
    abandoned: BTreeSet<ServeId>,
    /// When a wake-up is scheduled.
    armed: Option<Instant>,
    /// Live events of the node.
    pub(super) live: LiveDesk,
    /// The node's metrics.
    pub(super) metrics: MetricsDesk,
}

impl Desk {
    /// `seed` is the application's; `live` and `metrics` are the node's live events and metrics.
    pub(super) fn new(seed: [u8; 32], live: LiveDesk, metrics: MetricsDesk) -> Self {
        Desk {
            app: App::new(seed),
            ids: BTreeMap::new(),
            subs: BTreeMap::new(),
            waiting: BTreeSet::new(),
            readable: VecDeque::new(),
            abandoned: BTreeSet::new(),
            armed: None,
            live,
            metrics,
        }
    }

    /// Its process was frozen, and its scheduled wake-up was dropped.
    pub(super) fn disarm(&mut self) {
        self.armed = None;
    }
}

impl DirectWorld {
    pub(super) fn order_app(&mut self, node: NodeId, order: &Order) -> Result<(), Refusal> {
        let key = self.hosts[node.index()].spec.key.clone();
        let process = self.process(node)?;
        process.desk.app.accepts(order, &key, process.paused)?;
        self.touch();
        self.tell_app(node, Told::Order(order.clone()));
        self.drive_app(node);
        Ok(())
    }

    pub(super) fn tell_app(&mut self, node: NodeId, told: Told) {
        if let Some(process) = &mut self.hosts[node.index()].process {
            process.desk.app.handle(self.now, told);
        }
    }

    /// A deadline of an application has arrived.
    pub(super) fn wake_app(&mut self, node: NodeId) {
        let now = self.now;
        if let Some(process) = &mut self.hosts[node.index()].process
            && process.desk.armed.is_some_and(|armed| armed <= now)
        {
            process.desk.armed = None;
        }
        self.tick_live(node);
        self.tell_app(node, Told::Tick);
        self.drive_app(node);
    }

    /// Carries out an application's requests until there are none, and schedules its next wake-up.
    pub(super) fn drive_app(&mut self, node: NodeId) {
        loop {
            let now = self.now;
            let Some(process) = &mut self.hosts[node.index()].process else {
                return;
            };
            let desk = &mut process.desk;
            if let Some(sub) = desk.readable.pop_front() {
                self.ask(node, Ask::Read { sub });
                continue;
            }
            if self.drive_live(node) || self.drive_metrics(node) {
                continue;
            }
            let Some(process) = &mut self.hosts[node.index()].process else {
                return;
            };
            let desk = &mut process.desk;
            match desk.app.poll_output(now) {
                Some(Output::Ask(ask)) => self.ask(node, ask),
                Some(Output::Saw(saw)) => self.saw(node, &saw),
                None => break,
            }
        }
        let Some(process) = &mut self.hosts[node.index()].process else {
            return;
        };
        let desk = &process.desk;
        let metrics = desk.metrics.deadline();
        let metrics = metrics.map(|at| process.boot + at.since_start());
        let others = earliest(desk.live.deadline(), metrics);
        let Some(due) = earliest(desk.app.poll_timeout(), others) else {
            return;
        };
        let at = due.max(self.now);
        if process.desk.armed.is_none_or(|armed| at < armed) {
            process.desk.armed = Some(at);
            self.schedule(at, Event::WakeApp(node));
        }
    }

    fn saw(&mut self, node: NodeId, saw: &Saw) {
        self.changed = true;
        self.invariants.saw(self.now, node, saw);
        self.record.saw(self.now, node, saw);
    }

    fn ask(&mut self, node: NodeId, ask: Ask) {
        if let Ask::Events(ask) = ask {
            return self.ask_live(node, ask);
        }
        if let Ask::Metrics(ask) = ask {
            return self.ask_metrics(node, ask);
        }
        if let Some(command) = self.command_of(node, ask) {
            self.order_plane(node, command);
        }
    }

    pub(super) fn order_plane(&mut self, node: NodeId, command: PlaneCommand) {
        self.give(node, Input::Command(Command::Plane(command)));
    }

    fn command_of(&mut self, node: NodeId, ask: Ask) -> Option<PlaneCommand> {
        let host = &mut self.hosts[node.index()];
        let unix_ms = host.unix_ms(self.now);
        let desk = &mut host.process.as_mut()?.desk;
        Some(match ask {
            Ask::Subscribe { sub, topic, queue } => PlaneCommand::Subscribe {
                tag: sub.into(),
                topic: topic.to_string(),
                queue_max: queue,
            },
            Ask::Unsubscribe { sub } => {
                let id = desk.ids.remove(&sub)?;
                desk.subs.remove(&id);
                desk.waiting.remove(&sub);
                PlaneCommand::Unsubscribe { id }
            }
            Ask::Read { sub } => PlaneCommand::Read {
                id: *desk.ids.get(&sub)?,
            },
            Ask::Publish {
                tag,
                topic,
                payload,
                audience,
            } => PlaneCommand::Publish {
                tag,
                topic: topic.to_string(),
                payload,
                audience,
                unix_ms,
            },
            Ask::Serve { method } => PlaneCommand::Serve {
                method: method.to_string(),
            },
            Ask::Call {
                tag,
                to,
                method,
                payload,
                timeout,
            } => PlaneCommand::Call {
                tag,
                to,
                method: method.to_string(),
                payload,
                timeout,
            },
            Ask::CallMany { .. } => return self.call_many_of(node, ask),
            Ask::Events(_) | Ask::Metrics(_) => return None,
            Ask::Reply { id, reply } => {
                let id = ServeId(id);
                let desk = &mut self.hosts[node.index()].process.as_mut()?.desk;
                if desk.abandoned.remove(&id) {
                    return None;
                }
                match answer_of(reply) {
                    Some(answer) => PlaneCommand::Answer { id, answer },
                    None => PlaneCommand::GiveUp { id },
                }
            }
        })
    }

    /// Starts a call to many, and tells the application its nodes at once.
    fn call_many_of(&mut self, node: NodeId, ask: Ask) -> Option<PlaneCommand> {
        let Ask::CallMany {
            tag,
            to,
            method,
            payload,
            timeout,
        } = ask
        else {
            return None;
        };
        let linked = || self.node(node).map(crate::inspect::linked);
        let to = to.or_else(linked).unwrap_or_default();
        let nodes = to.clone();
        self.tell_app(node, Told::Targets { tag, nodes });
        Some(PlaneCommand::CallMany {
            tag,
            to,
            method: method.to_string(),
            payload,
            timeout,
        })
    }

    /// Passes an output of a node to its application.
    pub(super) fn plane_said(&mut self, node: NodeId, output: PlaneOutput) {
        let host = &mut self.hosts[node.index()];
        let unix_ms = host.unix_ms(self.now);
        let Some(process) = &mut host.process else {
            return;
        };
        let desk = &mut process.desk;
        let Some(output) = desk.live.take(self.now, unix_ms, output) else {
            return;
        };
        let boot = process.boot;
        let own_now = Instant::ZERO + (self.now - boot);
        let Some(output) = desk.metrics.take(own_now, output) else {
            return;
        };
        if let PlaneOutput::Request(request) = &output {
            let asked = Asked {
                from: &request.from,
                tag: crate::app::tag_of(&request.payload),
                left: request.deadline - own_now,
            };
            self.invariants.asked(self.now, node, &asked);
        }
        let told = match output {
            PlaneOutput::Subscribed { tag, result } => {
                let sub = tag as u32;
                if let Ok(id) = &result {
                    desk.ids.insert(sub, *id);
                    desk.subs.insert(*id, sub);
                }
                let error = result.err().map(|error| error.to_string());
                Told::Subscribed { sub, error }
            }
            PlaneOutput::Readable { id } => {
                if let Some(sub) = desk.subs.get(&id)
                    && desk.waiting.remove(sub)
                {
                    desk.readable.push_back(*sub);
                }
                return;
            }
            PlaneOutput::Read { id, updates } => {
                let Some(&sub) = desk.subs.get(&id) else {
                    return;
                };
                if updates.is_empty() {
                    desk.waiting.insert(sub);
                    return;
                }
                Told::Updates { sub, updates }
            }
            PlaneOutput::Published { tag, result } => Told::Published { tag, result },
            PlaneOutput::Request(request) => Told::Request {
                id: request.id.0,
                method: request.method,
                payload: request.payload,
                // The node's clock starts with its process, the application's with the run.
                deadline: boot + request.deadline.since_start(),
            },
            PlaneOutput::Abandoned { id } => {
                desk.abandoned.insert(id);
                return;
            }
            PlaneOutput::Answered { tag, outcome } => Told::Answered { tag, outcome },
            PlaneOutput::Gathered { tag, gathered } => Told::Gathered { tag, gathered },
        };
        self.tell_app(node, told);
    }
}

/// The answer for a reply. For a handler that panics, the answer that a node gives in its place; `None`: no
/// answer.
fn answer_of(reply: Reply) -> Option<Answer> {
    match reply {
        Reply::Done(bytes) => Some(Answer::Done(bytes)),
        Reply::Rejected(reject) => Some(Answer::Rejected(reject)),
        Reply::Panics(method) => Some(Answer::Rejected(Reject::panicked(&method))),
        Reply::Late => None,
    }
}
