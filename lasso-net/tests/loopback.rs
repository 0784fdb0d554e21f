//! Nodes over real sockets on loopback.

use std::time::Duration;

use lasso_core::config::NodeConfig;
use lasso_core::event::{Change, DownReason};
use lasso_core::name::NodeName;
use lasso_net::{Cluster, StartError, TopologyUpdate};

/// Addresses of the loopback network that no other test uses.
fn name(host: u8) -> String {
    format!("app@127.0.31.{host}:9155")
}

async fn start(host: u8, others: &[u8]) -> Cluster {
    let builder = Cluster::builder()
        .name(&name(host))
        .cookie("a secret of at least thirty-two bytes");
    let builder = others
        .iter()
        .fold(builder, |builder, other| builder.peer(&name(*other)));
    builder.start().await.expect("it starts")
}

async fn disconnected(events: &mut lasso_net::TopologyEvents) -> (NodeName, DownReason) {
    loop {
        let update = events.recv().await.expect("the node runs");
        let TopologyUpdate::Event(event) = update else {
            panic!("lagged")
        };
        if let Change::NodeDisconnected { name, reason } = &event.change {
            return (name.clone(), *reason);
        }
    }
}

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn three_nodes_form_a_cluster_and_a_goodbye_is_told_apart() {
    let a = start(1, &[2, 3]).await;
    let b = start(2, &[1, 3]).await;
    let c = start(3, &[1, 2]).await;
    for cluster in [&a, &b, &c] {
        let coverage = cluster
            .wait_for(3, SOON)
            .await
            .expect("they find each other");
        assert_eq!((coverage.connected, coverage.expected), (3, 3));
    }
    let mut events = a.topology_events();
    c.shutdown().await;
    let (who, why) = disconnected(&mut events).await;
    assert_eq!(
        (who.to_string(), why),
        (name(3).replace(":9155", ""), DownReason::Left)
    );
    // The last handle is dropped: that is a goodbye too.
    drop(b);
    let (_, why) = disconnected(&mut events).await;
    assert_eq!(why, DownReason::Left);
    assert_eq!(a.coverage().connected, 1);
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once() {
    let error = Cluster::builder()
        .name("no at sign")
        .peer("app@10.0.0.1")
        .peer("app@nowhere")
        .cookie("pw-12345")
        .start()
        .await
        .expect_err("it does not start");
    let StartError::Config(errors) = &error else {
        panic!("{error:?}")
    };
    let variables: Vec<&str> = errors
        .0
        .iter()
        .map(|error| error.variable.as_ref())
        .collect();
    assert_eq!(
        variables,
        ["CLUSTER_NODE_BASENAME", "CLUSTER_PEERS", "RELEASE_COOKIE"],
        "{error}"
    );
    assert!(!error.to_string().contains("pw-12345"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let _first = start(11, &[12]).await;
    let second = Cluster::builder()
        .name(&name(11))
        .cookie("a secret of at least thirty-two bytes")
        .peer(&name(12))
        .start()
        .await;
    let error = second.expect_err("the address is taken");
    assert!(matches!(error, StartError::Bind { .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.31.11:9155"), "{error}");
}

#[tokio::test]
async fn a_node_that_listens_nowhere_is_a_cluster_of_one() {
    let cluster = Cluster::builder().start().await.expect("it starts");
    let coverage = cluster.coverage();
    assert_eq!(
        (coverage.expected, coverage.connected, coverage.responding),
        (1, 1, 1)
    );
    let security = lasso_core::secure::Security::InsecureNull;
    let config = NodeConfig::new(cluster.name(), security);
    assert!(!config.is_clustered());
    cluster.shutdown().await;
    assert!(cluster.topology_events().recv().await.is_none());
}

#[tokio::test]
async fn a_subscriber_that_lags_is_told_how_much_it_missed_and_where_things_stand() {
    let (a, b) = (start(21, &[22]).await, start(22, &[21]).await);
    a.wait_for(2, SOON).await.expect("they find each other");
    let (mut slow, mut quick) = (b.topology_events(), b.topology_events());
    let described = |version: &str| {
        let label = |text| lasso_core::name::Label::new("label", text).expect("a label");
        lasso_core::name::Description {
            id: label("a"),
            region: label("iad"),
            roles: Default::default(),
            version: label(version),
        }
    };
    for change in 1..=1500 {
        let version = change.to_string();
        a.describe(described(&version)).expect("few roles");
        // Each has arrived before the next is sent.
        loop {
            let Some(TopologyUpdate::Event(event)) = quick.recv().await else {
                panic!("the quick one keeps up")
            };
            if let Change::NodeIdentified { description, .. } = &event.change
                && description.version.as_str() == version
            {
                break;
            }
        }
    }
    let Some(TopologyUpdate::Lagged { missed, coverage }) = slow.recv().await else {
        panic!("it has missed something")
    };
    assert!(missed >= 1500 - 1024, "{missed}");
    assert_eq!(coverage.connected, 2);
    let Some(TopologyUpdate::Event(next)) = slow.recv().await else {
        panic!("what was kept comes after that")
    };
    assert_eq!(coverage.epoch - next.epoch, 1023);
}

#[test]
fn the_last_handle_may_be_dropped_outside_of_the_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let (a, b, mut events) = runtime.block_on(async {
        let (a, b) = (start(31, &[32]).await, start(32, &[31]).await);
        a.wait_for(2, SOON).await.expect("they find each other");
        let events = a.topology_events();
        (a, b, events)
    });
    std::thread::spawn(move || drop(b))
        .join()
        .expect("dropping does not panic");
    let (_, why) = runtime.block_on(disconnected(&mut events));
    assert_eq!(why, DownReason::Left);
    // A handle that outlives its runtime cannot stop anything any more, and does no harm.
    drop(runtime);
    drop(a);
}
