//! Addresses, nodes in this process, and nodes in processes of their own.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lasso::{Builder, Change, Cluster, DownReason, NodeName, TopologyEvents, TopologyUpdate};

/// Far more than any of these tests takes; a failure says what it waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const COOKIE: &str = "the secret of the tests, 32 bytes";

/// Loopback addresses that no other test uses, and a port that is free there.
pub(crate) struct Network {
    prefix: [u8; 3],
    port: u16,
}

impl Network {
    /// `test` is a number that no other test of this file has.
    pub(crate) fn new(test: u8) -> Self {
        let process = (std::process::id() % 250) as u8 + 1;
        let prefix = [127, process, test];
        let first = Ipv4Addr::from([127, process, test, 1]);
        let free = TcpListener::bind((first, 0)).expect("loopback has a free port");
        let port = free
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        Network { prefix, port }
    }

    pub(crate) fn ip(&self, node: u8) -> IpAddr {
        let [a, b, c] = self.prefix;
        IpAddr::from([a, b, c, node])
    }

    pub(crate) fn address(&self, node: u8) -> SocketAddr {
        SocketAddr::new(self.ip(node), self.port)
    }

    pub(crate) fn name(&self, node: u8) -> NodeName {
        self.text(node).parse().expect("a name made of an address")
    }

    fn text(&self, node: u8) -> String {
        format!("lasso@{}", self.address(node))
    }

    /// A node that dials `peers`. A second of tick time is as fast as it goes.
    pub(crate) fn node(&self, node: u8, peers: &[u8]) -> Builder {
        peers
            .iter()
            .fold(Cluster::builder(), |builder, peer| {
                builder.peer(&self.text(*peer))
            })
            .name(&self.text(node))
            .cookie(COOKIE)
    }

    /// The same in a process of its own.
    pub(crate) fn process(&self, node: u8, peers: &[u8], tick_seconds: u64) -> Process {
        let peers: Vec<_> = peers.iter().map(|peer| self.text(*peer)).collect();
        let child = Command::new(std::env::current_exe().expect("this program has a path"))
            .args(["--exact", "a_node_in_a_process_of_its_own", "--nocapture"])
            .env(
                CHILD,
                format!("{}|{}|{tick_seconds}", self.text(node), peers.join(",")),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program can be started again");
        Process(child)
    }
}

const CHILD: &str = "LASSO_TEST_NODE";

/// What a child does; nothing in the process that runs the tests.
pub(crate) fn run_as_child() {
    let Ok(order) = std::env::var(CHILD) else {
        return;
    };
    let [name, peers, tick] = order.split('|').collect::<Vec<_>>()[..] else {
        panic!("{CHILD} is `{order}`")
    };
    // It ends with its parent, however that ends: the pipe breaks.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let node = async {
        let builder = peers.split(',').fold(Cluster::builder(), Builder::peer);
        let tick = Duration::from_secs(tick.parse().expect("whole seconds"));
        let _cluster = builder
            .name(name)
            .cookie(COOKIE)
            .tick_time(tick)
            .start()
            .await
            .expect("it starts");
        std::future::pending::<()>().await
    };
    runtime().block_on(node);
}

/// A node in a process of its own; killed when dropped.
pub(crate) struct Process(Child);

impl Process {
    /// kill -9.
    pub(crate) fn kill(&mut self) {
        self.0.kill().expect("the child is ours");
        self.0.wait().expect("the child is ours");
    }

    /// Sends `STOP` or `CONT`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.0.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status();
        assert!(status.expect("there is a kill").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Waits until `who` is disconnected; the reason, and how long it took from now.
pub(crate) async fn disconnected(
    events: &mut TopologyEvents,
    who: &NodeName,
) -> (DownReason, Duration) {
    let from = Instant::now();
    let search = async {
        loop {
            match events.recv().await {
                Some(TopologyUpdate::Event(event)) => match &event.change {
                    Change::NodeDisconnected { name, reason } if name == who => return *reason,
                    _ => {}
                },
                other => panic!("{other:?} while waiting for {who} to go"),
            }
        }
    };
    let reason = tokio::time::timeout(PATIENCE, search).await;
    (
        reason.unwrap_or_else(|_| panic!("{who} is still there")),
        from.elapsed(),
    )
}

/// Looks again every few milliseconds until `holds`.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let mut again = tokio::time::interval(Duration::from_millis(5));
    let holding = async {
        while !holds() {
            again.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, holding)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// Waits until each sees so many nodes, itself included.
pub(crate) async fn whole(clusters: &[&Cluster], nodes: usize) {
    for cluster in clusters {
        cluster
            .wait_for(nodes, PATIENCE)
            .await
            .expect("the cluster forms");
    }
}
