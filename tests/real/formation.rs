use std::net::SocketAddr;

use lasso::responder::Responder;
use lasso::{Cluster, HealthStatus, NodeState, StartError};

use crate::support::{COOKIE, Network, PATIENCE, eventually, whole};

#[tokio::test]
async fn three_nodes_find_each_other_by_dns_and_are_healthy() {
    let network = Network::new(1);
    let responder = Responder::bind(SocketAddr::new(network.ip(100), 0))
        .await
        .unwrap();
    responder.set(
        "lasso.internal",
        (1..=3).map(|node| network.ip(node)).collect(),
    );

    let mut nodes = Vec::new();
    for node in 1..=3 {
        let cluster = Cluster::builder()
            .name(&network.name(node).to_string())
            .cookie(COOKIE)
            .query("lasso.internal")
            .dns_server(responder.local_addr())
            .region(["iad", "sjc", "ams"][usize::from(node) - 1])
            .expected_nodes(3)
            .start()
            .await
            .unwrap();
        cluster.set_ready(true);
        nodes.push(cluster);
    }
    whole(&nodes.iter().collect::<Vec<_>>(), 3).await;
    for cluster in &nodes {
        let ready = || {
            let members = cluster.topology().members;
            members.len() == 2
                && members
                    .iter()
                    .all(|member| member.state() == NodeState::Ready)
        };
        eventually("both others are ready", ready).await;
        let coverage = cluster.coverage();
        assert_eq!(
            (coverage.expected, coverage.responding, coverage.identified),
            (3, 3, 3)
        );
        assert!(coverage.disconnected.is_empty() && coverage.unresponsive.is_empty());
        let health = cluster.health();
        assert_eq!(health.status, HealthStatus::Healthy);
        assert_eq!(health.cluster.regions.len(), 3);
        // The own address is not counted.
        assert_eq!(health.cluster.discovery[0].addresses, 2);
    }
}

#[tokio::test]
async fn nodes_that_start_at_once_end_with_one_link_per_pair() {
    const NODES: u8 = 6;
    let network = Network::new(2);
    let everybody: Vec<u8> = (1..=NODES).collect();
    let mut nodes = Vec::new();
    for node in 1..=NODES {
        nodes.push(network.node(node, &everybody).start().await.unwrap());
    }
    whole(&nodes.iter().collect::<Vec<_>>(), NODES.into()).await;
    let settled = || {
        nodes
            .iter()
            .all(|node| node.inspect(|node| node.connections()) == usize::from(NODES) - 1)
    };
    eventually("only the links are open", settled).await;
    for (one, a) in nodes.iter().zip(1..) {
        for (other, b) in nodes.iter().zip(1..) {
            let session = |node: &Cluster, peer| {
                let name = network.name(peer);
                node.inspect(|node| {
                    node.links()
                        .find(|link| link.peer.name == name)
                        .map(|link| link.session)
                })
            };
            assert_eq!(
                session(one, b),
                session(other, a),
                "{a} and {b} agree on their link"
            );
        }
    }
}

#[tokio::test]
async fn a_node_that_knows_nobody_is_a_healthy_cluster_of_one() {
    let alone = Cluster::builder().start().await.unwrap();
    assert_eq!(alone.coverage().connected, 1);
    let health = alone.health();
    assert_eq!(health.status, HealthStatus::Healthy);
    assert!(!health.cluster.enabled);
    alone.shutdown().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_said_and_nothing_is_left_running() {
    let network = Network::new(3);
    let first = network.node(1, &[2]).start().await.unwrap();
    let second = network.node(1, &[2]).start().await;
    let Err(StartError::Bind { address, kind, .. }) = second else {
        panic!("{second:?}");
    };
    assert_eq!(address, network.address(1));
    assert_eq!(kind, std::io::ErrorKind::AddrInUse);
    // Once the first is gone its address can be had again.
    first.shutdown().await;
    network.node(1, &[2]).start().await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_a_builder_is_said_all_at_once() {
    let wrong = Cluster::builder()
        .name("no address")
        .peer("lasso@nowhere")
        .start()
        .await;
    let Err(StartError::Config(errors)) = wrong else {
        panic!("{wrong:?}");
    };
    assert!(errors.0.len() >= 2, "{errors}");
    let text = errors.to_string();
    assert!(
        text.contains("no address") && text.contains("nowhere"),
        "{text}"
    );
}

#[tokio::test]
async fn waiting_for_more_nodes_than_there_are_ends() {
    let alone = Cluster::builder().start().await.unwrap();
    let waited = alone
        .wait_for(2, std::time::Duration::from_millis(50))
        .await;
    assert!(waited.is_err());
    assert!(alone.wait_for(1, PATIENCE).await.is_ok());
}
