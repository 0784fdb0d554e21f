use lasso::Cluster;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{COOKIE, Network, eventually, whole};

/// How often connections were closed for `reason`, by this side or the other.
fn closed(cluster: &Cluster, reason: &str) -> u64 {
    cluster.inspect(|node| {
        let counters = node.counters();
        let count = |map: &std::collections::BTreeMap<&'static str, u64>| map.get(reason).copied();
        count(&counters.closed).unwrap_or(0) + count(&counters.closed_by_peer).unwrap_or(0)
    })
}

/// Two nodes that are linked.
async fn pair(network: &Network) -> [Cluster; 2] {
    let one = network.node(1, &[2]).start().await.unwrap();
    let two = network.node(2, &[1]).start().await.unwrap();
    whole(&[&one, &two], 2).await;
    [one, two]
}

#[tokio::test]
async fn a_wrong_cookie_is_refused_at_both_ends_and_disturbs_nobody() {
    let network = Network::new(21);
    let [one, two] = pair(&network).await;
    let epoch = one.coverage().epoch;
    let wrong = network
        .node(3, &[1, 2])
        .cookie("another secret, also 32 bytes long");
    let wrong = wrong.start().await.unwrap();
    for cluster in [&one, &two, &wrong] {
        eventually("the refusal is counted", || {
            closed(cluster, "wrong_cookie") > 0
        })
        .await;
    }
    assert_eq!(wrong.coverage().connected, 1);
    assert_eq!((one.coverage().connected, two.coverage().connected), (2, 2));
    let topology = one.topology();
    assert!(
        topology
            .members
            .iter()
            .all(|member| *member.name() != network.name(3))
    );
    assert!(topology.coverage.disconnected.is_empty() && topology.coverage.epoch >= epoch);
}

#[tokio::test]
async fn a_previous_cookie_lets_a_node_in_that_still_offers_it() {
    let network = Network::new(22);
    let new = "the secret after the rotation, 32 bytes";
    let rotated = network.node(1, &[2]).cookie(new).cookie_previous(COOKIE);
    let rotated = rotated.start().await.unwrap();
    let old = network.node(2, &[1]).start().await.unwrap();
    whole(&[&rotated, &old], 2).await;
}

#[tokio::test]
async fn another_cluster_is_refused_by_its_name() {
    let network = Network::new(23);
    let [one, two] = pair(&network).await;
    let other = network
        .node(3, &[1])
        .cluster_name("staging")
        .start()
        .await
        .unwrap();
    for cluster in [&one, &other] {
        eventually("the refusal is counted", || {
            closed(cluster, "other_cluster") > 0
        })
        .await;
    }
    assert_eq!(
        [one, two, other].map(|node| node.coverage().connected),
        [2, 2, 1]
    );
}

#[tokio::test]
async fn garbage_costs_that_one_connection() {
    let network = Network::new(24);
    let [one, two] = pair(&network).await;
    let links = |node: &Cluster| node.inspect(|node| node.links().collect::<Vec<_>>().len());
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 64]] {
        let mut stream = TcpStream::connect(network.address(1)).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        // Whatever it says, it is short, and the end of the stream or a reset follows.
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.len() < 64, "{} bytes", answer.len());
    }
    eventually("all three are counted", || closed(&one, "garbage") == 3).await;
    assert_eq!((links(&one), links(&two)), (1, 1));
    assert!(one.coverage().disconnected.is_empty());
}

/// Answers every connection with these bytes, or with what came, and holds it open or not.
async fn service(listener: TcpListener, says: Option<&'static [u8]>, stays: bool) {
    let mut held = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut came = [0; 256];
        let count = stream.read(&mut came).await.unwrap_or(0);
        let answer = says.unwrap_or(&came[..count]);
        if stream.write_all(answer).await.is_ok() && stays {
            held.push(stream);
        }
    }
}

#[tokio::test]
async fn other_services_are_named_and_never_as_a_wrong_cookie() {
    let network = Network::new(25);
    let services: [(Option<&[u8]>, bool); 9] = [
        (
            Some(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
            false,
        ),
        (Some(&[0x15, 3, 3, 0, 2, 2, 40]), false),
        (Some(b"-ERR unknown command\r\n"), true),
        (Some(b"SSH-2.0-OpenSSH_9.6\r\n"), true),
        (None, true),
        (Some(&[0]), false),
        (Some(&[0, 0, 18, 4, 0, 0, 0, 0, 0]), true),
        (Some(&[0; 128]), true),
        (Some(&[3, 0, 0, 11]), true),
    ];
    let mut peers = Vec::new();
    for (index, (says, stays)) in services.into_iter().enumerate() {
        let peer = index as u8 + 2;
        let listener = TcpListener::bind(network.address(peer)).await.unwrap();
        tokio::spawn(service(listener, says, stays));
        peers.push(peer);
    }
    let one = network.node(1, &peers).start().await.unwrap();
    eventually("each service is named", || {
        closed(&one, "not_lasso") >= peers.len() as u64
    })
    .await;
    for other in ["wrong_cookie", "garbage", "unknown"] {
        assert_eq!(closed(&one, other), 0, "{other}");
    }
    assert_eq!(one.coverage().connected, 1);
}
