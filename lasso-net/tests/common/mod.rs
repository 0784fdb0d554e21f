//! Nodes over real sockets on loopback. Each test has a `net` of its own: its nodes are 127.0.net.1,
//! 127.0.net.2 and so on.

use std::time::Duration;

use lasso_net::{Builder, Cluster};

/// Whatever a test waits for comes much sooner than that.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Of all nodes.
pub(crate) const COOKIE: &str = "a secret of at least thirty-two bytes";

/// The name of a node.
pub(crate) fn name(net: u8, host: usize) -> String {
    format!("app@127.0.{net}.{host}")
}

/// A node that dials all others.
pub(crate) fn builder(net: u8, host: usize, count: usize) -> Builder {
    let others = (1..=count).filter(|other| *other != host);
    let builder = Cluster::builder().name(&name(net, host)).cookie(COOKIE);
    others.fold(builder, |builder, other| builder.peer(&name(net, other)))
}

/// So many nodes that know each other, each with what `with` adds.
pub(crate) async fn nodes_with(
    net: u8,
    count: usize,
    with: impl Fn(Builder) -> Builder,
) -> Vec<Cluster> {
    let mut nodes = Vec::new();
    for host in 1..=count {
        let node = with(builder(net, host, count)).start().await;
        nodes.push(node.expect("it starts"));
    }
    for node in &nodes {
        node.wait_for(count, SOON).await.expect("they link up");
    }
    nodes
}

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    let what = tokio::time::timeout(SOON, what).await;
    what.expect("it happens soon")
}
