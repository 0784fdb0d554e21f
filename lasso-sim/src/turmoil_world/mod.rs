//! The turmoil world: lasso-net's own driver, as users run it, on turmoil's hosts.
//!
//! Turmoil gives each node a runtime of its own whose clock it moves in ticks, and runs the nodes one after
//! another. Task scheduling, framing and the closing of connections are the real ones. The fabric replaces the
//! sockets of a real node, as in the direct world: turmoil's own network permanently loses bytes in a
//! partition, refuses connects instead of hanging, and cannot accept for a frozen process.
//!
//! Bytes that arrive within a tick are available at the start of the next one.

mod app;
mod gate;
mod metrics;
mod net;
mod orders;
pub(crate) mod panics;
mod platform;
mod process;
pub(crate) mod site;
#[cfg(test)]
mod tests;
mod viewers;
mod watch;

use core::time::Duration;
use std::sync::Arc;

use lasso_core::time::Instant;
use parking_lot::Mutex;

use self::net::Kernels;
use self::process::Host;
use self::site::Site;
use self::watch::{Books, Watch};
use crate::direct::Options;
use crate::fabric::Fabric;
use crate::invariants::{Invariants, Violation};
use crate::record::Record;
use crate::scenario::{Network, NodeId, Scenario};
use crate::seed::{self, Purpose};
use crate::world::FaultId;

/// See the module's text.
pub struct TurmoilWorld {
    seed: u64,
    null_cipher: bool,
    dns_latency: Duration,
    sim: turmoil::Sim<'static>,
    /// The world's time; it is between two ticks if an order is given there.
    now: Instant,
    /// The time that turmoil has reached.
    ticked: Instant,
    kernels: Arc<Mutex<Kernels>>,
    watch: Arc<Mutex<Watch>>,
    hosts: Vec<Host>,
    fault: FaultId,
    /// Present except while the hosts run.
    books: Books,
    /// The site of a user's own application, if there is one.
    site: Option<Arc<Site>>,
}

impl TurmoilWorld {
    /// The world of a scenario, before any node has started.
    pub fn new(scenario: &Scenario, seed: u64, options: Options) -> Self {
        let (nodes, network) = (&scenario.nodes, &scenario.network);
        let mut fabric = Fabric::new(seed, nodes.len() as u32, network.default.clone());
        for (paths, shape) in &network.rules {
            for path in paths {
                fabric.shape(path.from.0, path.to.0, shape, None);
            }
        }
        let mut record = Record::new(nodes, options.keep_trace);
        if options.quiet {
            record.set_quiet();
        }
        let slack = TICK * 2;
        let invariants = Invariants::new(nodes, network, scenario.null_cipher, slack);
        let epoch = std::time::UNIX_EPOCH + Duration::from_millis(crate::direct::EPOCH_MS);
        let draw = seed::derived(seed, Purpose::Turmoil, 0, 0);
        let mut sim = turmoil::Builder::new();
        sim.tick_duration(TICK)
            .epoch(epoch)
            .simulation_duration(Duration::from_secs(u32::MAX.into()))
            .rng_seed(u64::from_le_bytes(
                draw[..8].try_into().expect("eight bytes"),
            ));
        TurmoilWorld {
            seed,
            null_cipher: scenario.null_cipher,
            dns_latency: network.dns_latency,
            sim: sim.build(),
            now: Instant::ZERO,
            ticked: Instant::ZERO,
            kernels: Arc::new(Mutex::new(Kernels::new(
                fabric,
                nodes.iter().map(|n| n.host),
            ))),
            watch: Arc::new(Mutex::new(Watch::new(nodes.len()))),
            hosts: nodes.iter().map(Host::new).collect(),
            fault: FaultId(0),
            books: Books { record, invariants },
            site: None,
        }
    }

    /// The same, with the application of `site` on every node.
    pub(crate) fn with_site(
        scenario: &Scenario,
        seed: u64,
        options: Options,
        site: Arc<Site>,
    ) -> Self {
        let mut world = TurmoilWorld::new(scenario, seed, options);
        world.books.invariants.host_strange_applications();
        world.site = Some(site);
        world
    }

    /// The violations that the invariants found.
    pub fn violations(&self) -> &[Violation] {
        self.books.invariants.violations()
    }

    /// Lends the books to the observers while `run` runs the hosts.
    fn observed<T>(&mut self, run: impl FnOnce(&mut Self) -> T) -> T {
        let empty = || Books {
            record: Record::new(&[], false),
            invariants: Invariants::new(&[], &Network::default(), true, Duration::ZERO),
        };
        let books = core::mem::replace(&mut self.books, empty());
        self.watch.lock().books = Some(books);
        let result = run(self);
        if let Some(books) = self.watch.lock().books.take() {
            self.books = books;
        }
        result
    }

    /// One tick of every host.
    fn tick(&mut self) {
        self.kernels.lock().advance(self.ticked);
        self.observed(|world| {
            world
                .sim
                .step()
                .expect("hosts run for ever and return no error");
            world.ticked += TICK;
            world.now = world.ticked;
            world.kernels.lock().now = world.now;
            world.watch.lock().advance(world.now);
        });
        self.reap();
    }

    /// The network's kernels at the present moment, for an order.
    fn kernels(&self) -> parking_lot::MutexGuard<'_, Kernels> {
        let mut kernels = self.kernels.lock();
        kernels.now = self.now;
        kernels
    }

    /// The start of a node's process, if its machine can be read.
    fn boot(&self, node: NodeId) -> Option<Instant> {
        self.hosts[node.index()]
            .process
            .as_ref()
            .map(|process| process.boot)
    }
}

/// The length of a tick. Shorter ones cost in proportion: turmoil runs every host in each.
pub const TICK: Duration = Duration::from_millis(10);
