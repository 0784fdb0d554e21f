//! The direct world as a [`World`]: it can do everything.

use lasso_core::event::{Notice, TopologyEvent};
use lasso_core::name::{Description, NodeName};
use lasso_core::node::Command;
use lasso_core::time::Instant;

use super::DirectWorld;
use super::host::End;
use crate::app::{AppLog, Order};
use crate::coverage::Reached;
use crate::invariants::Invariants;
use crate::liar::Lying;
use crate::record::Record;
use crate::scenario::{NodeId, NodeSpec, Shape};
use crate::stage::Stage;
use crate::world::{
    Ability, Cut, DnsMode, FaultId, NodeView, Path, Process, Refusal, Stranger, Timed, World,
    WorldKind,
};

impl World for DirectWorld {
    fn kind(&self) -> WorldKind {
        WorldKind::Direct
    }

    fn can(&self, _: Ability) -> bool {
        true
    }

    fn now(&self) -> Instant {
        self.now
    }

    fn advance(&mut self, until: Instant) -> Instant {
        self.changed = false;
        while !self.changed {
            let next = self.idle_until(until);
            self.now = self.now.max(next);
            if self.next_due().is_none_or(|due| due > until) {
                break;
            }
            self.step();
        }
        self.now
    }

    fn is_liar(&self, name: &NodeName) -> bool {
        self.invariants.is_liar(name)
    }

    fn attribute(&mut self, fault: FaultId) {
        self.fault = fault;
    }

    fn effects(&self, fault: FaultId) -> u64 {
        self.effects_of(fault)
    }

    fn start(&mut self, node: NodeId, spec: &NodeSpec) -> Result<(), Refusal> {
        self.start_process(node, spec)
    }

    fn stop(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.stop_process(node)
    }

    fn crash(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.process(node)?;
        self.touch();
        self.process_ends(node, End::Crashed);
        Ok(())
    }

    fn vanish(&mut self, node: NodeId) -> Result<(), Refusal> {
        self.process(node)?;
        self.touch();
        self.process_ends(node, End::Vanished);
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
        self.hosts[node.index()].clock_offset_ms += millis;
        self.invariants.clock_moved();
        self.touch();
        Ok(())
    }

    fn cut(&mut self, paths: &[Path], how: Cut) -> Result<(), Refusal> {
        let paths = pairs(paths);
        self.fabric.cut(self.now, &paths, how, self.fault);
        self.invariants.paths(self.now, &paths, true);
        self.take_effects();
        Ok(())
    }

    fn hold(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        let paths = pairs(paths);
        self.fabric.hold(self.now, &paths, self.fault);
        self.invariants.paths(self.now, &paths, true);
        self.take_effects();
        Ok(())
    }

    fn release(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        let paths = pairs(paths);
        self.fabric.let_go(self.now, &paths);
        self.invariants.paths(self.now, &paths, false);
        self.take_effects();
        Ok(())
    }

    fn heal(&mut self, paths: &[Path]) -> Result<(), Refusal> {
        let paths = pairs(paths);
        self.fabric.heal(self.now, &paths);
        self.invariants.paths(self.now, &paths, false);
        self.take_effects();
        Ok(())
    }

    fn shape(&mut self, paths: &[Path], shape: &Shape) -> Result<(), Refusal> {
        let paths = pairs(paths);
        for &(from, to) in &paths {
            self.fabric.shape(from, to, shape, Some(self.fault));
        }
        self.invariants.shaped(self.now, &paths, shape);
        Ok(())
    }

    fn dns(&mut self, name: &str, seen_by: &[NodeId], mode: &DnsMode) -> Result<(), Refusal> {
        self.zone.tell(name, seen_by, mode, self.fault);
        Ok(())
    }

    fn stranger(&mut self, stranger: &Stranger) -> Result<(), Refusal> {
        self.admit(stranger)
    }

    fn spec(&self, node: NodeId) -> &NodeSpec {
        &self.hosts[node.index()].spec
    }

    fn liar(&mut self, lying: &Lying) -> Result<(), Refusal> {
        self.let_lie(lying);
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
        let process = self.hosts[node.index()].process.as_ref()?;
        let mut view = crate::inspect::view(&process.node, process.boot, self.now);
        let counters = process.desk.live.counters();
        view.counters
            .extend(crate::inspect::event_counters(&counters));
        Some(view)
    }

    fn events(&self, node: NodeId) -> &[Timed<TopologyEvent>] {
        self.record.events(node)
    }

    fn notices(&self, node: NodeId) -> &[Timed<Notice>] {
        self.record.notices(node)
    }

    fn app(&self, node: NodeId) -> &AppLog {
        self.record.app(node)
    }
}

impl Stage for DirectWorld {
    fn record(&self) -> &Record {
        &self.record
    }

    fn record_mut(&mut self) -> &mut Record {
        &mut self.record
    }

    fn invariants(&self) -> &Invariants {
        &self.invariants
    }

    fn invariants_mut(&mut self) -> &mut Invariants {
        &mut self.invariants
    }

    fn names_disturbed(&self) -> bool {
        self.zone.is_disturbed()
    }

    fn reached(&self) -> Reached {
        let mut reached = self.record.reached.clone();
        for process in self.hosts.iter().filter_map(|host| host.process.as_deref()) {
            reached.life_ends(&process.life());
        }
        reached.told(&self.record);
        reached
    }

    fn inputs_handled(&self) -> u64 {
        self.events_handled
    }
}

fn pairs(paths: &[Path]) -> Vec<(u32, u32)> {
    paths.iter().map(|path| (path.from.0, path.to.0)).collect()
}
