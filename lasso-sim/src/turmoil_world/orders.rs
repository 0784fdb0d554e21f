//! The turmoil world as a [`World`].

use std::sync::atomic::Ordering;

use lasso_core::event::{Notice, TopologyEvent};
use lasso_core::name::{Description, NodeName};
use lasso_core::node::Command;
use lasso_core::time::Instant;

use super::net::Stay;
use super::process::Ending;
use super::{TICK, TurmoilWorld};
use crate::app::{AppLog, Order};
use crate::coverage::Reached;
use crate::invariants::Invariants;
use crate::liar::Lying;
use crate::record::Record;
use crate::scenario::{NodeId, NodeSpec, Shape};
use crate::stage::Stage;
use crate::world::{
    Ability, Cut, DnsMode, FaultId, NodeView, Opening, Path, Process, Refusal, Stranger, Timed,
    World, WorldKind,
};

impl World for TurmoilWorld {
    fn kind(&self) -> WorldKind {
        WorldKind::Turmoil
    }

    fn can(&self, _: Ability) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn advance(&mut self, until: Instant) -> Instant {
        self.watch.lock().changed = false;
        loop {
            if self.ticked + TICK > until {
                // The rest of the tick runs when its end is requested.
                self.now = self.now.max(until);
                break;
            }
            self.tick();
            if self.watch.lock().changed {
                break;
            }
        }
        self.now
    }

    fn is_liar(&self, name: &NodeName) -> bool {
        self.books.invariants.is_liar(name)
    }

    fn attribute(&mut self, fault: FaultId) {
        self.fault = fault;
    }

    fn effects(&self, fault: FaultId) -> u64 {
        self.kernels.lock().effects(fault)
    }

    fn start(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal> {
        self.start_process(node, spec)
    }

    fn stop(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.stop_process(node)
    }

    fn crash(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.process_mut(node)?;
        self.kernels().touch(self.fault);
        self.process_ends(node, Ending::Crashed);
        Ok(())
    }

    fn vanish(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.process_mut(node)?;
        self.kernels().touch(self.fault);
        self.process_ends(node, Ending::Vanished);
        Ok(())
    }

    fn pause(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.pause_process(node)
    }

    fn resume(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.resume_process(node)
    }

    fn set_ready(&mut self, node: NodeId, ready: bool) -> Result<(), Refusal> {
        self.command(node, Command::SetReady(ready))
    }

    fn describe(&mut self, node: NodeId, description: &Description) -> Result<(), Refusal> {
        self.command(node, Command::Describe(description.clone()))
    }

    fn order(&mut self, node: NodeId, order: &Order) -> Result<(), Refusal> {
        self.order_app(node, order)
    }

    fn jump_clock(&mut self, node: NodeId, millis: i64) -> Result<(), Refusal> {
        self.hosts[node.index()]
            .clock_offset_ms
            .fetch_add(millis, Ordering::Relaxed);
        self.books.invariants.clock_moved();
        self.kernels().touch(self.fault);
        Ok(())
    }

    fn cut(&mut self, paths: &[Path], how: Cut) -> Result<(), Refusal> {
        self.paths(paths, true, |kernels, now, paths, fault| {
            kernels.fabric.cut(now, paths, how, fault);
        });
        Ok(())
    }

    fn hold(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        self.paths(paths, true, |kernels, now, paths, fault| {
            kernels.fabric.hold(now, paths, fault);
        });
        Ok(())
    }

    fn release(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        self.paths(paths, false, |kernels, now, paths, _| {
            kernels.fabric.let_go(now, paths)
        });
        Ok(())
    }

    fn heal(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        self.paths(paths, false, |kernels, now, paths, _| {
            kernels.fabric.heal(now, paths)
        });
        Ok(())
    }

    fn shape(&mut self, paths: &[Path], shape: &Shape) -> Result<(), Refusal> {
        let paths = pairs(paths);
        let mut kernels = self.kernels();
        for &(from, to) in &paths {
            kernels.fabric.shape(from, to, shape, Some(self.fault));
        }
        drop(kernels);
        self.books.invariants.shaped(self.now, &paths, shape);
        Ok(())
    }

    fn dns(&mut self, name: &str, seen_by: &[NodeId], mode: &DnsMode) -> Result<(), Refusal> {
        let fault = self.fault;
        self.kernels().zone.tell(name, seen_by, mode, fault);
        Ok(())
    }

    fn stranger(&mut self, stranger: &Stranger) -> Result<(), Refusal> {
        let port = self.hosts[stranger.to.index()].spec.address.port();
        let mut kernels = self.kernels();
        let opening = match &stranger.opening {
            Opening::Bytes(bytes) => bytes.clone(),
            Opening::Replay => kernels.opening(stranger.to.0).ok_or_else(|| {
                Refusal::Senseless("no node has dialled another yet: nothing to replay".into())
            })?,
        };
        for _ in 0..stranger.connections {
            let leaves_after = stranger.leaves_after;
            let stay = Stay {
                fault: self.fault,
                opening: opening.clone(),
                leaves_after,
            };
            kernels.admit(stranger.from, (stranger.to.0, port), stay);
        }
        Ok(())
    }

    fn spec(&self, node: NodeId) -> &NodeSpec {
        &self.hosts[node.index()].spec
    }

    fn liar(&mut self, lying: &Lying) -> Result<(), Refusal> {
        self.books.invariants.lies(lying);
        let port = self.hosts[lying.to.index()].spec.address.port();
        let (seed, fault) = (self.seed, self.fault);
        self.kernels().let_lie(lying, port, seed, fault);
        Ok(())
    }

    fn process(&self, node: NodeId) -> Process {
        match &self.hosts[node.index()].process {
            None => Process::Gone,
            Some(process) if process.paused => Process::Paused,
            Some(_) => Process::Running,
        }
    }

    fn observe(&self, node: NodeId) -> Option<NodeView> {
        self.view(node)
    }

    fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>] {
        self.books.record.events(node)
    }

    fn notices(&self, node: NodeId) -> &[Timed<Notice>] {
        self.books.record.notices(node)
    }

    fn app(&self, node: NodeId) -> &AppLog {
        self.books.record.app(node)
    }
}

impl TurmoilWorld {
    fn paths(
        &mut self,
        paths: &[Path],
        hindered: bool,
        order: impl FnOnce(&mut super::net::Kernels, Instant, &[(u32, u32)], FaultId),
    ) {
        let paths = pairs(paths);
        let (now, fault) = (self.now, self.fault);
        let mut kernels = self.kernels();
        order(&mut kernels, now, &paths, fault);
        kernels.take_effects();
        drop(kernels);
        self.books.invariants.paths(now, &paths, hindered);
    }
}

impl Stage for TurmoilWorld {
    fn record(&self) -> &Record {
        &self.books.record
    }

    fn record_mut(&mut self) -> &mut Record {
        &mut self.books.record
    }

    fn invariants(&self) -> &Invariants {
        &self.books.invariants
    }

    fn invariants_mut(&mut self) -> &mut Invariants {
        &mut self.books.invariants
    }

    fn names_disturbed(&self) -> bool {
        self.kernels.lock().zone.is_disturbed()
    }

    fn reached(&self) -> Reached {
        let mut reached = self.books.record.reached.clone();
        for process in self.hosts.iter().filter_map(|host| host.process.as_ref()) {
            process.life_ends(&mut reached);
        }
        reached.told(&self.books.record);
        reached
    }

    fn inputs_handled(&self) -> u64 {
        self.watch.lock().inputs_handled
    }
}

fn pairs(paths: &[Path]) -> Vec<(u32, u32)> {
    paths.iter().map(|path| (path.from.0, path.to.0)).collect()
}
