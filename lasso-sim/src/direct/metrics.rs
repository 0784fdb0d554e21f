//! The metrics of a node in the direct world: the machines that lasso-net drives by a task of its
//! own are driven here between two inputs of the node.

use std::collections::{BTreeMap, VecDeque};

use lasso_core::event::TopologyEvent;
use lasso_core::metrics::SharedRecorder;
use lasso_core::metrics::queries::{Leaderboard, Records};
use lasso_core::metrics::recorder::RecorderCounters;
use lasso_core::metrics::service::{
    Errand, METHOD, Membership, MetricsSettings, Registry, Responders, Service, Subject, Value,
};
use lasso_core::metrics::store::{Change, StoreCounters};
use lasso_core::node::{Command, Input};
use lasso_core::plane::{PlaneCommand, PlaneOutput};
use lasso_core::time::{Instant, earliest};

use super::DirectWorld;
use crate::app::{MetricAsk, MetricTold, Sight, Told};
use crate::scenario::NodeId;

/// Gathers of metrics have tags from here on; an application's count from 1.
const TAGS: u64 = 1 << 62;

/// A read that waits for a first answer.
#[derive(Debug)]
struct Waiter {
    tag: u64,
    subject: Subject,
    until: Instant,
}

/// All of one node. Its times are the process's own.
#[derive(Debug)]
pub(super) struct MetricsDesk {
    recorder: SharedRecorder,
    registry: Registry,
    service: Service,
    membership: Membership,
    changes: Vec<Change<Subject, Value>>,
    waiters: Vec<Waiter>,
    errands: BTreeMap<u64, Errand>,
    /// The commands for the node.
    commands: VecDeque<PlaneCommand>,
    told: VecDeque<MetricTold>,
}

impl MetricsDesk {
    /// The counters of its machines.
    pub(super) fn counters(&self) -> (StoreCounters, RecorderCounters) {
        (*self.service.counters(), self.recorder.counters())
    }

    /// The numbers of keys with an answer, and of series with calls.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let series = self.recorder.with_recorder(|own| own.series().count());
        (self.service.keys(), series)
    }

    pub(super) fn new(settings: &MetricsSettings) -> Self {
        let recorder = SharedRecorder::new(0, settings.recorder.clone());
        let method = METHOD.to_owned();
        MetricsDesk {
            registry: Registry::shipped(&recorder),
            recorder,
            service: Service::new(settings.clone()),
            membership: Membership::default(),
            changes: Vec::new(),
            waiters: Vec::new(),
            errands: BTreeMap::new(),
            commands: VecDeque::from([PlaneCommand::Serve { method }]),
            told: VecDeque::new(),
        }
    }

    pub(super) fn event(&mut self, now: Instant, event: &TopologyEvent) {
        if self.membership.changes_with(event) {
            self.service.membership_changed(now);
        }
    }

    /// Takes its outputs of the node; the others belong to the application.
    pub(super) fn take(&mut self, now: Instant, output: PlaneOutput) -> Option<PlaneOutput> {
        match output {
            PlaneOutput::Request(request) if &*request.method == METHOD => {
                let answer = self.registry.answer(now, &request.payload);
                let id = request.id;
                self.commands.push_back(PlaneCommand::Answer { id, answer });
            }
            PlaneOutput::Gathered { tag, gathered } if tag >= TAGS => {
                let errand = self.errands.remove(&tag)?;
                let outcomes = match gathered {
                    Ok(gathered) => gathered.outcomes,
                    Err(error) => {
                        let to = errand.to().iter();
                        to.map(|node| (node.clone(), Err(error.clone()))).collect()
                    }
                };
                let brought = errand.merge(now, outcomes);
                self.service
                    .finish(now, errand.id(), brought, &mut self.changes);
            }
            other => return Some(other),
        }
        None
    }

    pub(super) fn ask(&mut self, now: Instant, region: &str, ask: MetricAsk) {
        match ask {
            MetricAsk::Record(recorded) => {
                recorded.with(region, |key, call| self.recorder.record(now, key, call));
            }
            MetricAsk::Read { tag, key, wait } => {
                let subject = self.registry.subject::<Leaderboard>(&key);
                let subject = subject.expect("it is shipped, and names are short");
                let sight = self.read(now, &subject);
                match wait.filter(|_| sight.coverage.is_none()) {
                    None => self.told.push_back(MetricTold { tag, sight }),
                    Some(wait) => {
                        let until = now + wait;
                        self.waiters.push(Waiter {
                            tag,
                            subject,
                            until,
                        });
                    }
                }
            }
        }
    }

    fn read(&mut self, now: Instant, subject: &Subject) -> Sight {
        let readout = self
            .service
            .read::<Leaderboard>(now, subject, &mut self.changes);
        Sight::of(&readout, self.service.counters())
    }

    /// Begins due work, and answers reads that have waited long enough.
    fn turn(&mut self, now: Instant, responders: impl Fn() -> Responders) {
        self.service.tick(now, &mut self.changes);
        while let Some(errand) = self.service.poll_refresh(now, &responders) {
            if errand.to().is_empty() {
                let brought = errand.merge(now, Vec::new());
                self.service
                    .finish(now, errand.id(), brought, &mut self.changes);
                continue;
            }
            let tag = TAGS + errand.id().0;
            self.commands.push_back(PlaneCommand::CallMany {
                tag,
                to: errand.to().to_vec(),
                method: METHOD.to_owned(),
                payload: errand.question(),
                timeout: Some(errand.timeout()),
            });
            self.errands.insert(tag, errand);
        }
        let shown = core::mem::take(&mut self.changes);
        let is_shown = |subject: &Subject| {
            let mut shown = shown.iter();
            shown.any(|change| matches!(change, Change::Publish(of, _) if of == subject))
        };
        let over = |waiter: &mut Waiter| waiter.until <= now || is_shown(&waiter.subject);
        let waiters: Vec<Waiter> = self.waiters.extract_if(.., over).collect();
        for Waiter { tag, subject, .. } in waiters {
            let sight = self.read(now, &subject);
            self.told.push_back(MetricTold { tag, sight });
        }
    }

    /// Its next deadline, by the process's time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiters = self.waiters.iter().map(|waiter| waiter.until).min();
        earliest(self.service.deadline(), waiters)
    }
}

impl DirectWorld {
    /// Carries out one request of a node's metrics; false when there is none.
    pub(super) fn drive_metrics(&mut self, node: NodeId) -> bool {
        let Some(process) = &mut self.hosts[node.index()].process else {
            return false;
        };
        let own_now = Instant::ZERO + (self.now - process.boot);
        let metrics = &mut process.desk.metrics;
        let machine = &process.node;
        metrics.turn(own_now, || Responders::of(machine));
        let (command, told) = (metrics.commands.pop_front(), metrics.told.pop_front());
        let wanted = command.is_some() || told.is_some();
        if let Some(told) = told {
            self.tell_app(node, Told::Metrics(told));
        }
        if let Some(command) = command {
            self.give(node, Input::Command(Command::Plane(command)));
        }
        wanted
    }

    pub(super) fn ask_metrics(&mut self, node: NodeId, ask: MetricAsk) {
        if let Some(process) = &mut self.hosts[node.index()].process {
            let own_now = Instant::ZERO + (self.now - process.boot);
            let region = &process.node.topology().description().region;
            process.desk.metrics.ask(own_now, region.as_str(), ask);
        }
    }
}
