//! Asks DNS for the addresses of a name, with hickory.
//!
//! 1. A lookup ends within its limit, retries and all servers included: 4 s, less than the 5 s
//!    between two polls of a query. One of services is two in a row, each with that limit. An answer counts
//!    until then, however late it comes and from whichever server.
//! 2. Every lookup starts anew: nothing is cached and no connection kept, so that an answer is
//!    never older than the question, and a server that was away is asked like any other.
//! 3. An answer that had to be cut short is never taken for a whole one. What did arrive counts.
//!
//! Names are absolute: `lasso` is `lasso.`, neither search domains nor `ndots` nor the hosts file
//! apply, so that one name means the same on every node. (hickory answers `localhost` and names
//! below it itself, with loopback, as RFC 6761 wants it.)
//!
//! Without a server of its own it reads the system's configuration at each lookup, and asks up to
//! three servers as `resolv.conf` lists them: the next one when one fails or has been silent for its share of
//! the limit, not when it says that a name does not exist. A server that is silent is asked a second time,
//! and goes on being listened to. One with a link-local address is refused, since hickory keeps no zone
//! (`%eth0`). A configuration that cannot be read fails the lookup, not the
//! node. Queries go over UDP with EDNS, an answer that was cut short is asked for again over TCP,
//! and datagrams of strangers are ignored (hickory 0.26.2 or later).
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use lasso_core::discovery::Family;
//! use lasso_core::node::DnsAnswer;
//! use lasso_net::dns::Resolver;
//! use lasso_net::responder::Responder;
//!
//! let responder = Responder::bind("127.0.0.1:0".parse().unwrap()).await?;
//! responder.set("lasso.internal", vec!["127.0.0.2".parse().unwrap()]);
//! let resolver = Resolver::new(Some(responder.local_addr()));
//! let found = DnsAnswer::Addresses {
//!     addresses: vec![("127.0.0.2".parse().unwrap(), None)],
//!     truncated: false,
//! };
//! assert_eq!(resolver.resolve("lasso.internal", Family::A).await, found);
//! assert_eq!(resolver.resolve("lasso.internal", Family::Aaaa).await, DnsAnswer::Empty);
//! # Ok::<(), std::io::Error>(()) })?;
//! # Ok::<(), std::io::Error>(())
//! ```

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt, Stream, StreamExt};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsExchange, DnsHandle};
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::{ConnectionProvider, PoolContext, system_conf};
use lasso_core::discovery::Family;
use lasso_core::node::DnsAnswer;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout, timeout_at};

/// Asks DNS servers. Cloning is cheap; lookups do not wait for one another.
#[derive(Debug, Clone)]
pub struct Resolver {
    /// The only server to ask; else those of the system.
    server: Option<SocketAddr>,
    /// How long one lookup may take.
    limit: Duration,
}

impl Resolver {
    /// Asks `server` and no other, or those that the system is configured with.
    pub fn new(server: Option<SocketAddr>) -> Resolver {
        Resolver {
            server,
            limit: LIMIT,
        }
    }

    /// Gives up a question after `limit` rather than 4 s. Longer than the time between two polls
    /// makes lookups of one query overlap; too short takes a slow server for a silent one.
    pub fn with_limit(self, limit: Duration) -> Resolver {
        Resolver { limit, ..self }
    }

    /// The records of `name` for one family, in the order of the answer, each once.
    ///
    /// For [`Family::Srv`] these are the addresses of the targets, IPv4 before IPv6, with the
    /// ports of their records; a target that cannot be resolved makes the answer a truncated one,
    /// and so does the 257th. An error is an answer too: see [`DnsAnswer`].
    ///
    /// # Panics
    /// Outside a tokio runtime with IO and time.
    pub async fn resolve(&self, name: &str, family: Family) -> DnsAnswer {
        let found = match family {
            Family::A => self.addresses(name, RecordType::A).await,
            Family::Aaaa => self.addresses(name, RecordType::AAAA).await,
            Family::Srv => self.services(name).await,
        };
        match found {
            Ok(Found { records, truncated }) if records.is_empty() && !truncated => {
                DnsAnswer::Empty
            }
            Ok(Found { records, truncated }) => DnsAnswer::Addresses {
                addresses: once_each(records),
                truncated,
            },
            Err(why) => DnsAnswer::Failed(why),
        }
    }

    async fn addresses(&self, name: &str, kind: RecordType) -> Result<Found<Address>, String> {
        let found = self.lookup(absolute(name)?, kind, self.limit).await?;
        Ok(found.filter_map(|data| Some((data.ip_addr()?, None))))
    }

    /// Asks for the services, and then for the addresses of all targets, each within the limit.
    async fn services(&self, name: &str) -> Result<Found<Address>, String> {
        let limit = self.limit;
        let found = self.lookup(absolute(name)?, RecordType::SRV, limit).await?;
        let found = found.filter_map(|data| match data {
            // A root target says that there is no such service (RFC 2782).
            // At port 0 there is nobody: the node would refuse it, and its target need not be asked for.
            RData::SRV(service) => {
                Some(service).filter(|service| !service.target.is_root() && service.port != 0)
            }
            _ => None,
        });
        let mut all = Found {
            records: Vec::new(),
            truncated: found.truncated || found.records.len() > MAX_TARGETS,
        };
        let targets = found.records.into_iter().take(MAX_TARGETS);
        let deadline = Instant::now() + limit;
        let mut resolved = stream::iter(targets)
            .map(|service| self.target(service, limit).boxed())
            .buffered(TARGETS_AT_ONCE);
        let mut failed = None;
        loop {
            match timeout_at(deadline, resolved.next()).await {
                Ok(Some(found)) => {
                    all.records.extend(found.records);
                    all.truncated |= found.truncated;
                    failed = failed.or(found.failed);
                }
                Ok(None) => break,
                Err(_) => {
                    failed = Some(format!("targets not resolved within {limit:?}"));
                    break;
                }
            }
        }
        match failed {
            Some(why) if all.records.is_empty() => Err(why),
            failed => {
                all.truncated |= failed.is_some();
                Ok(all)
            }
        }
    }

    /// The addresses of one target, both families side by side.
    async fn target(&self, service: SRV, limit: Duration) -> Target {
        let SRV { target, port, .. } = service;
        let (v4, v6) = tokio::join!(
            self.lookup(target.clone(), RecordType::A, limit),
            self.lookup(target.clone(), RecordType::AAAA, limit),
        );
        let mut all = Target::default();
        for result in [v4, v6] {
            match result {
                Ok(found) => {
                    let found = found.filter_map(|data| Some((data.ip_addr()?, Some(port))));
                    all.records.extend(found.records);
                    all.truncated |= found.truncated;
                }
                Err(why) => all.failed = Some(format!("target {target}: {why}")),
            }
        }
        all
    }

    async fn lookup(
        &self,
        name: Name,
        kind: RecordType,
        limit: Duration,
    ) -> Result<Found<RData>, String> {
        ask_in_turn(self.servers()?, name, kind, limit).await
    }

    fn servers(&self) -> Result<Vec<NameServerConfig>, String> {
        if let Some(server) = self.server {
            return Ok(vec![only(server)]);
        }
        let (config, _) = system_conf::read_system_conf()
            .map_err(|error| format!("the system's DNS configuration: {error}"))?;
        let (_, _, mut servers) = config.into_parts();
        servers.truncate(MAX_SERVERS);
        Ok(servers)
    }
}

/// An address, with the port where a service names one.
type Address = (IpAddr, Option<u16>);

/// What an answer held; nothing at all is an answer, too.
struct Found<T> {
    records: Vec<T>,
    /// There is more, which did not arrive.
    truncated: bool,
}

impl<T> Found<T> {
    fn filter_map<U>(self, f: impl FnMut(T) -> Option<U>) -> Found<U> {
        Found {
            records: self.records.into_iter().filter_map(f).collect(),
            truncated: self.truncated,
        }
    }
}

/// What became of one target.
#[derive(Default)]
struct Target {
    records: Vec<Address>,
    truncated: bool,
    failed: Option<String>,
}

fn absolute(name: &str) -> Result<Name, String> {
    let mut name = Name::from_ascii(name).map_err(|error| format!("`{name}`: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}

fn once_each(addresses: Vec<Address>) -> Vec<Address> {
    let mut seen = BTreeSet::new();
    let mut addresses = addresses;
    addresses.retain(|address| seen.insert(*address));
    addresses
}

/// One server at a port of its own.
fn only(server: SocketAddr) -> NameServerConfig {
    let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
    for connection in &mut connections {
        connection.port = server.port();
    }
    NameServerConfig::new(server.ip(), true, connections)
}

/// Asks the servers in turn until one answers: the next one after each share of `limit`, or at once when one
/// fails; all of them twice. Every server that was asked may answer until the limit.
async fn ask_in_turn(
    servers: Vec<NameServerConfig>,
    name: Name,
    kind: RecordType,
    limit: Duration,
) -> Result<Found<RData>, String> {
    let mut failed = "the system is configured with no DNS server".to_owned();
    let mut turns: VecDeque<_> = (0..servers.len()).chain(0..servers.len()).collect();
    let share = limit / u32::try_from(turns.len()).unwrap_or(1).max(1);
    let deadline = Instant::now() + limit;
    let mut next_turn = Instant::now();
    let mut asked = FuturesUnordered::new();
    loop {
        if Instant::now() >= next_turn
            && let Some(turn) = turns.pop_front()
        {
            next_turn += share;
            let (server, name) = (servers[turn].clone(), name.clone());
            asked.push(async move { (turn, ask(server, name, kind, deadline).await) });
        }
        match timeout_at(next_turn, asked.next()).await {
            Ok(Some((_, Ok(found)))) => return Ok(found),
            Ok(Some((turn, Err(why)))) => {
                failed = format!("DNS server {}: {why}", servers[turn].ip);
                // It said so itself: to ask it again changes nothing.
                turns.retain(|other| *other != turn);
                next_turn = Instant::now();
            }
            // Nobody is left to be waited for.
            Ok(None) if turns.is_empty() => return Err(failed),
            Ok(None) | Err(_) => {}
        }
        if turns.is_empty() {
            next_turn = deadline + share;
        }
    }
}

/// Asks one server, over UDP, and over TCP where the answer did not fit; twice where there is none.
async fn ask(
    server: NameServerConfig,
    name: Name,
    kind: RecordType,
    deadline: Instant,
) -> Result<Found<RData>, String> {
    if let IpAddr::V6(ip) = server.ip
        && ip.is_unicast_link_local()
    {
        return Err("a link-local address needs a zone such as `%eth0`, which is not kept".into());
    }
    let limit = deadline.saturating_duration_since(Instant::now());
    let provider = Watched::default();
    let resolver = hickory_resolver::Resolver::builder_with_config(
        ResolverConfig::from_name_servers(vec![server]),
        provider.clone(),
    )
    .with_options(options(limit))
    .build()
    .map_err(|error| error.to_string())?;
    let of_kind = |records: &[Record]| {
        let records = records.iter().filter(|record| record.record_type() == kind);
        records.map(|record| record.data.clone()).collect()
    };
    let why = match timeout(limit, resolver.lookup(name, kind)).await {
        Ok(Ok(lookup)) => {
            return Ok(Found {
                records: of_kind(lookup.answers()),
                truncated: false,
            });
        }
        Ok(Err(NetError::Dns(DnsError::NoRecordsFound(_)))) => {
            return Ok(Found {
                records: Vec::new(),
                truncated: false,
            });
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "no answer in time".to_owned(),
    };
    // The whole answer was not to be had over TCP: a part is better than nothing.
    let part = provider.part.lock().take();
    part.map_or(Err(why), |records| {
        Ok(Found {
            records: of_kind(&records),
            truncated: true,
        })
    })
}

fn options(limit: Duration) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    // A second try, where the first one failed early. Within each hickory sends up to three datagrams, and
    // ends it, late answers and all, after this time.
    options.attempts = 1;
    options.timeout = limit;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
    options
}

/// Makes hickory's connections, and keeps the part of an answer that was cut short, which hickory
/// itself throws away.
#[derive(Clone, Default)]
struct Watched {
    tokio: TokioRuntimeProvider,
    /// The answers of the last truncated response.
    part: Arc<Mutex<Option<Vec<Record>>>>,
}

impl ConnectionProvider for Watched {
    type Conn = WatchedConnection;
    type FutureConn = Pin<Box<dyn Future<Output = Result<Self::Conn, NetError>> + Send>>;
    type RuntimeProvider = TokioRuntimeProvider;

    fn new_connection(
        &self,
        ip: IpAddr,
        config: &ConnectionConfig,
        cx: &PoolContext,
    ) -> Result<Self::FutureConn, NetError> {
        let connecting = self.tokio.new_connection(ip, config, cx)?;
        let part = Arc::clone(&self.part);
        Ok(Box::pin(async move {
            let exchange = connecting.await?;
            Ok(WatchedConnection { exchange, part })
        }))
    }

    fn runtime_provider(&self) -> &TokioRuntimeProvider {
        &self.tokio
    }
}

/// See [`Watched`].
#[derive(Clone)]
struct WatchedConnection {
    exchange: DnsExchange<TokioRuntimeProvider>,
    part: Arc<Mutex<Option<Vec<Record>>>>,
}

impl DnsHandle for WatchedConnection {
    type Response = Pin<Box<dyn Stream<Item = Result<DnsResponse, NetError>> + Send>>;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> Self::Response {
        let part = Arc::clone(&self.part);
        Box::pin(self.exchange.send(request).inspect(move |response| {
            if let Ok(response) = response
                && response.truncation
            {
                *part.lock() = Some(response.answers.clone());
            }
        }))
    }
}

/// For one lookup: it ends before the next poll of its query, 5 s later.
const LIMIT: Duration = Duration::from_secs(4);
/// Servers of the system that are asked; `resolv.conf` has no more.
const MAX_SERVERS: usize = 3;
/// Services of one answer whose targets are resolved: as many as the node takes addresses.
const MAX_TARGETS: usize = 256;
/// Targets that are resolved at a time, each with two lookups and their sockets.
const TARGETS_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests;
