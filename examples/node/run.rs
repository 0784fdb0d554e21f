//! One node, from its configuration to its goodbye.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use lasso::config::{Config, Loaded, keygen as new_secret};
use lasso::log::{self, LogWriter};
use lasso::{
    Cluster, Label, Member, StartError, TopologyEvent, TopologyEvents, TopologyUpdate, process,
};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use crate::alone::Alone;
use crate::cli::NodeOptions;
use crate::failure::{self, Failure};
use crate::logs;
use crate::print;
use crate::proxied::{self, Proxied};
use crate::proxy;
use crate::report::Report;
use crate::signals::Signals;

/// Connections that wait to be accepted over HTTP; the system may allow fewer.
const BACKLOG: u32 = 4096;
/// For the last reports to a parent.
const LAST_REPORTS: Duration = Duration::from_millis(500);

/// Prints a new secret.
pub(crate) fn keygen() -> ExitCode {
    failure::exit(match new_secret() {
        Ok(secret) => print::out(&format!("{secret}\n")),
        Err(error) => Err(Failure::new(format!(
            "the system gives no randomness: {error}"
        ))),
    })
}

/// Prints the configuration as it would be used, or everything that is wrong with it.
pub(crate) fn check_config(options: &NodeOptions) -> ExitCode {
    failure::exit(
        match (
            options.loader().load(),
            proxied::load(options.proxy.as_deref()),
        ) {
            (Ok(loaded), Ok(proxied)) => {
                let printed = print::out(&format!("{}{proxied}", shown(&loaded)));
                for warning in &loaded.warnings {
                    logs::tell(&format!("warning: {warning}"));
                }
                printed
            }
            (Err(errors), Ok(_)) => Err(Failure::config(errors)),
            (Ok(_), Err(failure)) => Err(failure),
            (Err(errors), Err(failure)) => Err(Failure::refused(format!("{errors}\n{failure}"))),
        },
    )
}

/// The configuration as a table.
fn shown(loaded: &Loaded) -> String {
    let width = |of: fn(&lasso::config::Row) -> usize| loaded.rows.iter().map(of).max();
    let names = width(|row| row.name.len()).unwrap_or_default();
    let values = width(|row| row.value.chars().count()).unwrap_or_default();
    let lines = loaded.rows.iter().map(|row| {
        let value = if row.value.is_empty() {
            "-"
        } else {
            &row.value
        };
        format!("{:<names$}  {value:<values$}  {}\n", row.name, row.origin)
    });
    lines.collect()
}

/// Runs one node until it is asked to stop.
pub(crate) fn node(options: NodeOptions) -> ExitCode {
    let loaded = match options.loader().load() {
        Ok(loaded) => loaded,
        Err(errors) => return failure::exit(Err(Failure::config(errors))),
    };
    let proxied = match proxied::load(options.proxy.as_deref()) {
        Ok(proxied) => proxied,
        Err(failure) => return failure::exit(Err(failure)),
    };
    if let Err(failure) = logs::start(options.json) {
        return failure::exit(Err(failure));
    }
    // One thread is enough for some thousand requests a second, and many nodes run on one machine.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    failure::exit(match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(serve(loaded, proxied, options.child));
            // A name that is being looked up must not hold up the end.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(Failure::new(format!("no runtime: {error}"))),
    })
}

async fn serve(loaded: Loaded, mut proxied: Proxied, child: bool) -> Result<(), Failure> {
    let Loaded {
        mut config,
        warnings,
        ..
    } = loaded;
    // The builder tells the others again.
    let repeated = config.validate().map_err(Failure::config)?;
    for warning in warnings.iter().filter(|one| !repeated.contains(one)) {
        warn!("{warning}");
    }
    let core_dumps = forbid_core_dumps();
    proxied.fit(&config)?;
    config.version = Label::new("version", env!("CARGO_PKG_VERSION"))
        .map_err(|error| Failure::new(error.to_string()))?;
    config.settings.sampling = proxied.sampling();
    let enabled = config.is_clustered();
    let mut signals =
        Signals::listen().map_err(|error| Failure::new(format!("signals: {error}")))?;
    let (http, address) = listen(&config).await?;
    let limits = proxied.http_limits(config.http_drain);
    let cluster = Cluster::builder()
        .config(config)
        .start()
        .await
        .map_err(refused)?;
    let events = cluster.topology_events();
    let router = lasso::http::router(cluster.clone()).merge(proxied.start(&cluster));
    let router = proxy::guided(router);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap_or(()) };
    let mut http = tokio::spawn(lasso::http::serve_with(http, router, limits, stopped));
    cluster.ready();
    let open_files = process::open_files_max();
    info!(
        node = %cluster.name(), http = %address, clustered = enabled, core_dumps, open_files, "up"
    );
    let mut parent = child.then(Parent::new).transpose()?;
    if let Some(parent) = &mut parent {
        parent.tell(&Report::Up { http: address });
    }
    let why = watch(&cluster, enabled, events, &mut signals, &mut parent).await?;
    info!(by = why, "asked to stop; answering what is under way");
    cluster.set_ready(false);
    drop(stop);
    tokio::select! {
        biased;
        _ = &mut http => {}
        // Asked once more.
        _ = signals.next() => {}
    }
    info!("saying goodbye");
    let unsent = cluster.shutdown().await;
    if !unsent.is_empty() {
        warn!(
            messages = unsent.messages,
            calls = unsent.calls,
            unanswered = unsent.unanswered,
            "peers did not read everything in time"
        );
    }
    Ok(())
}

/// Tells what happens, until somebody asks the node to stop; who that is comes back.
async fn watch(
    cluster: &Cluster,
    enabled: bool,
    mut events: TopologyEvents,
    signals: &mut Signals,
    parent: &mut Option<Parent>,
) -> Result<&'static str, Failure> {
    let mut alone = Alone::new(Instant::now(), enabled);
    loop {
        // What was linked before the first event is no event.
        alone.connected(Instant::now(), cluster.coverage().connected);
        let due = alone.due();
        tokio::select! {
            biased;
            signal = signals.next() => return Ok(signal),
            () = parent_gone(parent) => return Ok("the parent process"),
            update = events.recv() => match update {
                Some(update) => on_update(update, cluster, parent),
                None => return Err(Failure::new("the node has stopped by itself")),
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                let expected = cluster.coverage().expected;
                warn!(
                    expected,
                    "still alone: clustering is on, and no other node is connected"
                );
                alone.said(Instant::now());
            }
        }
    }
}

/// Keys must not get into files; what the log says of it.
fn forbid_core_dumps() -> &'static str {
    match process::forbid_core_dumps() {
        Ok(()) => "off",
        Err(error) => {
            warn!(%error, "core dumps of this process may hold its keys");
            "as the system has them"
        }
    }
}

/// Listens for HTTP before anybody else can see the node.
async fn listen(config: &Config) -> Result<(TcpListener, SocketAddr), Failure> {
    let address = SocketAddr::new(config.http_bind, config.http_port);
    let listener = bound(address).map_err(|error| {
        let why = why_not(error.kind()).map_or(error.to_string(), str::to_owned);
        Failure::new(format!(
            "cannot answer HTTP on {address}: {why}; HTTP_BIND and HTTP_PORT say where"
        ))
    })?;
    Ok((listener, address))
}

/// A listener behind which more clients can wait than come while the node has no processor: one that finds
/// no room there tries again after a second, a probe too.
fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // As `TcpListener::bind` has it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why a node did not start.
fn refused(error: StartError) -> Failure {
    match error {
        StartError::Config(errors) => Failure::config(errors),
        StartError::Bind {
            address,
            message,
            kind,
        } => {
            let why = why_not(kind).unwrap_or(&message);
            Failure::new(format!(
                "cannot take links on {address}: {why}; CLUSTER_NODE_IP, CLUSTER_BIND and \
                 CLUSTER_PORT say where"
            ))
        }
        other => Failure::new(other.to_string()),
    }
}

/// Why an address cannot be listened on, in an operator's words.
fn why_not(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::AddrInUse => Some("it is taken by another process"),
        io::ErrorKind::AddrNotAvailable => Some("it is not an address of this machine"),
        io::ErrorKind::PermissionDenied => Some("this process may not listen there"),
        _ => None,
    }
}

fn on_update(update: TopologyUpdate, cluster: &Cluster, parent: &mut Option<Parent>) {
    let report = match update {
        TopologyUpdate::Event(event) => {
            log::topology(cluster, &event);
            if parent.as_mut().is_some_and(Parent::has_lost_reports) {
                members(cluster)
            } else {
                Report::Event(TopologyEvent::clone(&event))
            }
        }
        TopologyUpdate::Lagged { missed, .. } => {
            log::bounded(cluster, "topology_lagged", "", move || {
                warn!(
                    missed,
                    "topology events came faster than they could be logged"
                );
            });
            members(cluster)
        }
    };
    if let Some(parent) = parent {
        parent.tell(&report);
    }
}

/// How things stand.
fn members(cluster: &Cluster) -> Report {
    let topology = cluster.topology();
    let state = |member: &Member| (member.name().clone(), member.state());
    Report::Members {
        coverage: topology.coverage,
        members: topology.members.iter().map(state).collect(),
    }
}

/// The process that started this one.
struct Parent {
    /// Never waits: a parent that does not read must not hold up the node.
    out: LogWriter,
    /// Reports that it did not take, as far as it was made up for.
    lost: u64,
    gone: oneshot::Receiver<()>,
}

impl Parent {
    fn new() -> Result<Self, Failure> {
        let out = LogWriter::stdout()
            .map_err(|error| Failure::new(format!("nothing can be reported: {error}")))?;
        let (tell, gone) = oneshot::channel();
        // A thread, since a read from standard input cannot be given up; it ends with the process.
        std::thread::spawn(move || {
            let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
            let _ = tell.send(());
        });
        Ok(Parent { out, lost: 0, gone })
    }

    /// Whether reports were dropped since this was last asked.
    fn has_lost_reports(&mut self) -> bool {
        let dropped = self.out.dropped();
        core::mem::replace(&mut self.lost, dropped) < dropped
    }

    fn tell(&mut self, report: &Report) {
        let mut line = serde_json::to_vec(report).expect("a report that is JSON");
        line.push(b'\n');
        // A parent that is gone closes standard input as well, and that ends the node.
        let _ = self.out.write_all(&line);
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        self.out.flush_within(LAST_REPORTS);
    }
}

async fn parent_gone(parent: &mut Option<Parent>) {
    match parent {
        Some(parent) => {
            let _ = (&mut parent.gone).await;
        }
        None => std::future::pending().await,
    }
}
