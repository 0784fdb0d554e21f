//! A proxy for JSON-RPC, in small: what lasso's events and metrics were first needed for.
//!
//! Clients post requests for a chain of a profile; each is routed to one of the chain's providers, and
//! to another where that fails. What came of it is told to the cluster, and every node can show what all
//! nodes see. Nothing of the cluster is on the way of a request.
//!
//! ```text
//!  web ──> jsonrpc ──> service ──> pool (strategy, judge) ──> simulated | upstream
//!   │                     │
//!  keys, admission      report ──> sink ──> the cluster ──> live, api
//! ```
//!
//! What decides does no IO: `jsonrpc`, `admission`, `keys`, `strategy`, `breaker`, `judge`, `pool`, `reply`,
//! `simulated`, `telling`, `tickets`. What does IO decides little: `web`, `service`, `upstream`, `kept`, `watch`, `report`,
//! `sink`, `live`, `api`, `refusal`, `door`.

mod admission;
mod api;
mod breaker;
pub(crate) mod budget;
mod door;
mod fields;
mod file;
mod jsonrpc;
mod judge;
mod kept;
mod keys;
mod live;
mod methods;
mod pool;
mod refusal;
mod reply;
pub(crate) mod report;
mod service;
pub(crate) mod settings;
mod simulated;
pub(crate) mod sink;
mod strategy;
mod telling;
mod tickets;
mod upstream;
mod watch;
mod web;

use std::sync::Arc;

use axum::Router;
use lasso::Cluster;
use parking_lot::Mutex;

use keys::Keys;
use report::{Reporter, Sink};
use service::Service;
use settings::Settings;
use tickets::Tickets;

pub(crate) use refusal::guided;

/// The proxy of one node. What it does beside requests goes on until the runtime ends.
pub(crate) struct Proxy {
    settings: Arc<Settings>,
    keys: Arc<Keys>,
    service: Service,
    tickets: Arc<Mutex<Tickets>>,
}

impl Proxy {
    /// Starts it for a node of this name and region; it tells `sink` what happens.
    pub(crate) fn start(settings: Settings, node: &str, region: &str, sink: impl Sink) -> Self {
        let service = Service::new(&settings, node, region, Reporter::start(sink));
        for room in service.rooms() {
            let watching = watch::watch(service.clone(), room.clone(), settings.height_interval);
            tokio::spawn(watching);
        }
        Proxy {
            keys: Arc::new(Keys::of(&settings)),
            settings: Arc::new(settings),
            service,
            tickets: Arc::default(),
        }
    }

    /// What it serves: routes that need no cluster.
    pub(crate) fn serving(&self) -> Router {
        web::router(
            self.service.clone(),
            self.keys.clone(),
            self.tickets.clone(),
        )
    }

    /// What it shows of the cluster.
    pub(crate) fn showing(&self, cluster: &Cluster) -> Router {
        let (settings, keys) = (&self.settings, &self.keys);
        let tickets = self.tickets.clone();
        live::router(settings.clone(), keys.clone(), tickets, cluster).merge(api::router(
            settings.clone(),
            keys.clone(),
            cluster,
        ))
    }

    /// All routes of a node, for those who may use them.
    pub(crate) fn guarded(&self, routes: Router) -> Router {
        door::guarded(self.settings.door.clone(), routes)
    }
}
