//! Processes of nodes on turmoil's hosts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lasso_core::config::NodeConfig;
use lasso_core::node::{Command, Node};
use lasso_core::time::Instant;
use lasso_net::Cluster;
use lasso_net::seam::Platform;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::TurmoilWorld;
use super::app::{self, Desk};
use super::gate::Gate;
use super::platform::SimPlatform;
use super::site::{Act, Tenant};
use super::watch::Eye;
use crate::coverage::{Life, Reached};
use crate::direct::EPOCH_MS;
use crate::scenario::{NodeId, NodeSpec};
use crate::seed::{self, Purpose};
use crate::world::{NodeView, Refusal};

/// A machine of turmoil, which may run a process.
pub(super) struct Host {
    pub(super) spec: NodeSpec,
    pub(super) process: Option<Process>,
    /// The launch of the next process; the host's software reads it when it begins.
    launch: Arc<Mutex<Option<Launch>>>,
    registered: bool,
    starts: u32,
    pub(super) clock_offset_ms: Arc<AtomicI64>,
    pub(super) off: bool,
}

/// A running or frozen process.
pub(super) struct Process {
    pub(super) boot: Instant,
    pub(super) paused: bool,
    pub(super) desk: Arc<Desk>,
    gate: Gate,
    words: mpsc::UnboundedSender<Word>,
    state: Arc<Mutex<State>>,
    /// Its node before its first tick.
    newborn: Node,
}

/// The visible state of a process.
#[derive(Default)]
struct State {
    cluster: Option<Cluster>,
    finished: bool,
}

struct Launch {
    platform: SimPlatform,
    config: NodeConfig,
    seed: [u8; 32],
    listen: core::net::SocketAddr,
    eye: Arc<Eye>,
    desk: Arc<Desk>,
    state: Arc<Mutex<State>>,
    words: mpsc::UnboundedReceiver<Word>,
    /// The user's own application, if there is one.
    tenant: Option<Tenant>,
}

/// A message to a running process.
pub(super) enum Word {
    /// A command for the handle.
    Command(Command),
    /// An act of a test.
    Act(Act),
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has said goodbye.
    Stopped,
    /// Its process dies, and its kernel closes its connections.
    Crashed,
    /// Its machine loses power.
    Vanished,
}

impl Process {
    /// Adds the counts of its machines; before its first tick these are zero.
    pub(super) fn life_ends(&self, reached: &mut Reached) {
        let state = self.state.lock();
        let Some(cluster) = &state.cluster else {
            return;
        };
        let (events, metrics) = (cluster.event_counters(), cluster.metrics().stats());
        cluster.inspect(|node| {
            reached.life_ends(&Life {
                node,
                events,
                store: metrics.store,
                recorder: metrics.recorder,
            });
        });
    }
}

impl Host {
    pub(super) fn new(spec: &NodeSpec) -> Self {
        Host {
            spec: spec.clone(),
            process: None,
            launch: Arc::default(),
            registered: false,
            starts: 0,
            clock_offset_ms: Arc::new(AtomicI64::new(spec.clock_offset_ms)),
            off: false,
        }
    }
}

/// The software of a host: one process, until it has stopped. If the software returned, turmoil would no longer
/// run the host and its tasks, so it waits.
async fn software(launch: Arc<Mutex<Option<Launch>>>) -> turmoil::Result {
    let launch = launch.lock().take();
    let Some(mut launch) = launch else {
        return core::future::pending().await;
    };
    let (config, listen) = (launch.config, Some(launch.listen));
    let platform = launch.platform.clone();
    let started = Cluster::start_on(
        launch.platform,
        config,
        launch.seed,
        listen,
        Some(launch.eye as Arc<dyn lasso_net::Observer>),
    );
    let cluster = started.await?;
    launch.state.lock().cluster = Some(cluster.clone());
    let application = app::run(cluster.clone(), platform.clone(), launch.desk);
    platform.spawn(application);
    if let Some(tenant) = &launch.tenant {
        tenant.begin(cluster.clone());
    }
    while let Some(word) = launch.words.recv().await {
        match word {
            Word::Command(Command::SetReady(ready)) => cluster.set_ready(ready),
            Word::Command(Command::Describe(description)) => cluster.describe(description)?,
            // Applications use the handle.
            Word::Command(Command::Plane(_)) => {}
            Word::Command(Command::Leave { within }) => {
                if let Some(tenant) = &launch.tenant {
                    tenant.stops();
                }
                cluster.shutdown_within(within).await;
                launch.state.lock().finished = true;
            }
            Word::Act(act) => {
                if let Some(tenant) = &launch.tenant {
                    tenant.act(cluster.clone(), act);
                }
            }
        }
    }
    core::future::pending().await
}

impl TurmoilWorld {
    pub(super) fn start_process(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal> {
        let host = &mut self.hosts[node.index()];
        if host.process.is_some() {
            return Err(Refusal::Senseless(format!("`{}` runs already", spec.key)));
        }
        host.spec = spec.clone();
        host.starts += 1;
        let seed = seed::derived(
            self.seed,
            Purpose::Process,
            node.0.into(),
            host.starts.into(),
        );
        let wall = (EPOCH_MS + self.now.as_nanos() / 1_000_000)
            .saturating_add_signed(host.clock_offset_ms.load(Ordering::Relaxed));
        let config = spec.config(self.null_cipher);
        let newborn = Node::new(config.clone(), seed, wall)
            .map_err(|error| Refusal::Senseless(format!("`{}`: {error}", spec.key)))?;
        let (words, received) = mpsc::unbounded_channel();
        let (gate, state) = (Gate::of(node), Arc::new(Mutex::new(State::default())));
        let life = self.watch.lock().new_life(node);
        // Turmoil begins it with the next tick.
        let boot = self.ticked;
        let eye = Eye {
            watch: Arc::clone(&self.watch),
            node,
            life,
            boot,
        };
        let eye = Arc::new(eye);
        let desk = seed::derived(self.seed, Purpose::App, node.0.into(), host.starts.into());
        let desk = Arc::new(Desk::new(desk, Arc::clone(&eye)));
        let tenant = self.site.as_ref().map(|site| {
            site.moves_in(node, words.clone());
            Tenant::new(site, (node, spec), &eye, &gate, &host.clock_offset_ms)
        });
        *host.launch.lock() = Some(Launch {
            platform: SimPlatform {
                kernels: Arc::clone(&self.kernels),
                node,
                dns_latency: self.dns_latency,
                gate: gate.clone(),
                wall_offset_ms: Arc::clone(&host.clock_offset_ms),
            },
            config,
            seed,
            listen: spec.address,
            eye,
            desk: Arc::clone(&desk),
            state: Arc::clone(&state),
            words: received,
            tenant,
        });
        host.process = Some(Process {
            boot,
            paused: false,
            desk,
            gate,
            words,
            state,
            newborn,
        });
        self.address_taken(node);
        self.begin(node);
        self.has_started(node, spec, wall)
    }

    /// Notifies everything that must know of a start.
    fn has_started(&mut self, node: NodeId, spec: &NodeSpec, wall: u64) -> Result<(), Refusal> {
        self.books.invariants.started(self.now, node, spec, wall);
        self.books.record.new_life(node);
        let line = format_args!("starts as {} incarnation {wall}", spec.name());
        self.books.record.line(self.now, node, line);
        self.watch.lock().changed = true;
        self.kernels().touch(self.fault);
        if spec.ready {
            self.command(node, Command::SetReady(true))?;
        }
        Ok(())
    }

    /// Makes turmoil run the software of the node's host from the beginning.
    fn begin(&mut self, node: NodeId) {
        let (name, host) = (host_name(node), &mut self.hosts[node.index()]);
        if core::mem::replace(&mut host.registered, true) {
            self.sim.bounce(name.as_str());
        } else {
            let launch = Arc::clone(&host.launch);
            self.sim
                .host(name.as_str(), move || software(Arc::clone(&launch)));
        }
    }

    /// The node's address leads to its machine from now on, and DNS knows it.
    fn address_taken(&mut self, node: NodeId) {
        let spec = self.hosts[node.index()].spec.clone();
        let at_address = |host: &Host| host.off && host.spec.host == spec.host;
        let back: Vec<usize> = (0..self.hosts.len())
            .filter(|index| at_address(&self.hosts[*index]))
            .collect();
        let mut kernels = self.kernels();
        let now = kernels.now;
        kernels.set_running(node.0, spec.host, true);
        let address = core::net::SocketAddr::new(spec.host, spec.address.port());
        kernels.zone.set(&spec.dns_name(), node, Some(address));
        for index in &back {
            kernels.fabric.power_on(now, *index as u32);
        }
        kernels.take_effects();
        drop(kernels);
        for index in back {
            self.hosts[index].off = false;
        }
    }

    /// A running process, frozen or not.
    pub(super) fn process_mut(&mut self, node: NodeId) -> Result<&mut Process, Refusal> {
        let host = &mut self.hosts[node.index()];
        let key = &host.spec.key;
        host.process
            .as_mut()
            .ok_or_else(|| Refusal::Senseless(format!("`{key}` does not run")))
    }

    pub(super) fn command(&mut self, node: NodeId, command: Command) -> Result<(), Refusal> {
        let process = self.process_mut(node)?;
        if process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is paused")));
        }
        // The host's software waits for commands as long as it runs.
        let _ = process.words.send(Word::Command(command));
        self.kernels().touch(self.fault);
        Ok(())
    }

    /// Tells a process to stop. A frozen one handles that when it is thawed.
    pub(super) fn stop_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let within = self.hosts[node.index()].spec.settings.leave.within;
        let process = self.process_mut(node)?;
        let _ = process.words.send(Word::Command(Command::Leave { within }));
        self.kernels().touch(self.fault);
        Ok(())
    }

    /// Ends the processes that have said goodbye. A panic in a process fails the run, or is reported by the
    /// test of a user's application.
    pub(super) fn reap(&mut self) {
        let panics = self.panics();
        match (&self.site, panics.first()) {
            (Some(site), _) => {
                site.set_now(self.now);
                site.panicked(self.now, panics);
            }
            (None, Some((node, text))) => {
                panic!("`{}`: {text}", self.hosts[node.index()].spec.key)
            }
            (None, None) => {}
        }
        for index in 0..self.hosts.len() {
            let process = self.hosts[index].process.as_ref();
            if process.is_some_and(|process| process.state.lock().finished) {
                self.process_ends(NodeId(index as u32), Ending::Stopped);
            }
        }
    }

    /// Panics that gates have caught.
    fn panics(&self) -> Vec<(NodeId, String)> {
        let of = |(index, host): (usize, &Host)| {
            let text = host.process.as_ref()?.gate.take_panic()?;
            Some((NodeId(index as u32), text))
        };
        self.hosts.iter().enumerate().filter_map(of).collect()
    }

    pub(super) fn process_ends(&mut self, node: NodeId, how: Ending) {
        let host = &mut self.hosts[node.index()];
        let Some(process) = host.process.take() else {
            return;
        };
        let dns_name = host.spec.dns_name();
        process.life_ends(&mut self.books.record.reached);
        if let Some(site) = &self.site {
            site.moves_out(node);
        }
        self.books
            .record
            .line(self.now, node, format_args!("is gone: {how:?}"));
        self.books
            .invariants
            .ended(self.now, node, how == Ending::Vanished);
        {
            let mut watch = self.watch.lock();
            watch.new_life(node);
            watch.changed = true;
        }
        {
            let mut kernels = self.kernels();
            let now = kernels.now;
            kernels.zone.set(&dns_name, node, None);
            kernels.process_gone(node.0, how == Ending::Vanished);
            if how == Ending::Vanished {
                kernels.fabric.power_off(now, node.0, self.fault);
            } else if process.paused {
                kernels.fabric.thaw(now, node.0);
            }
            kernels.take_effects();
        }
        self.hosts[node.index()].off = how == Ending::Vanished;
        // Its sockets are gone from the kernel, so the drops of its tasks have no effect now.
        self.sim.crash(host_name(node).as_str());
    }

    pub(super) fn pause_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let process = self.process_mut(node)?;
        if process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is paused already")));
        }
        process.paused = true;
        process.gate.shut();
        if let Some(site) = &self.site {
            site.freezes(self.now, node);
        }
        let mut kernels = self.kernels();
        let now = kernels.now;
        kernels.fabric.freeze(now, node.0);
        kernels.touch(self.fault);
        drop(kernels);
        self.books.invariants.paused(node);
        self.books
            .record
            .line(self.now, node, format_args!("is frozen"));
        Ok(())
    }

    pub(super) fn resume_process(&mut self, node: NodeId) -> Result<(), Refusal> {
        let process = self.process_mut(node)?;
        if !process.paused {
            let key = &self.hosts[node.index()].spec.key;
            return Err(Refusal::Senseless(format!("`{key}` is not paused")));
        }
        process.paused = false;
        process.gate.open();
        let mut kernels = self.kernels();
        let now = kernels.now;
        kernels.fabric.thaw(now, node.0);
        kernels.take_effects();
        kernels.touch(self.fault);
        drop(kernels);
        self.books.invariants.resumed(self.now, node);
        self.books
            .record
            .line(self.now, node, format_args!("goes on"));
        self.watch.lock().changed = true;
        Ok(())
    }

    pub(super) fn view(&self, node: NodeId) -> Option<NodeView> {
        let (process, boot) = (self.hosts[node.index()].process.as_ref()?, self.boot(node)?);
        let state = process.state.lock();
        let look = |machine: &Node| crate::inspect::view(machine, boot, self.now);
        let Some(cluster) = &state.cluster else {
            return Some(look(&process.newborn));
        };
        let mut view = cluster.inspect(look);
        let counters = cluster.event_counters();
        view.counters
            .extend(crate::inspect::event_counters(&counters));
        Some(view)
    }
}

fn host_name(node: NodeId) -> String {
    format!("node-{}", node.0)
}
