//! Watching what all nodes have recorded, and who is there, over real sockets on loopback.

mod common;

use std::time::Duration;

use futures_util::StreamExt;
use lasso_core::config::Settings;
use lasso_core::event::Change;
use lasso_core::events::topics::TOPOLOGY;
use lasso_net::messaging::Received;
use lasso_net::metrics::{
    Ages, AskError, Call, Freshness, Leaderboard, MetricsSettings, Outcome, ProviderKey, Ranking,
    Readout, SeriesKey, StoreSettings, Watch,
};
use lasso_net::{Cluster, TopologyEvent, TopologyUpdate};

use crate::common::{builder, name, nodes_with, soon};

fn chain(chain: &str) -> ProviderKey {
    ProviderKey {
        profile: "free".into(),
        chain: chain.into(),
    }
}

fn record(node: &Cluster, calls: usize) {
    let key = SeriesKey {
        profile: "free",
        provider: "alchemy",
        chain: "ethereum",
        method: "eth_call",
        region: "iad",
    };
    for _ in 0..calls {
        node.record(&key, Call::new(Outcome::Success, Duration::from_millis(80)));
    }
}

fn watch(node: &Cluster) -> Watch<Leaderboard> {
    let watch = node.metrics().watch::<Leaderboard>(&chain("ethereum"));
    watch.expect("it is shipped")
}

fn calls(readout: &Readout<Ranking>) -> u64 {
    let providers = readout.value().map_or(&[][..], |board| &board.providers);
    providers.iter().map(|row| row.figures.calls).sum()
}

/// Settings with which a watched answer is renewed after this long, with so many places for keys.
fn renewed_after(renew: Duration, keys_max: usize) -> Settings {
    Settings {
        metrics: MetricsSettings {
            store: StoreSettings {
                ages: Ages {
                    fresh: renew * 3 / 2,
                    ..Ages::default()
                },
                backoff_min: Duration::from_millis(1),
                keys_max,
                ..StoreSettings::default()
            },
            ..MetricsSettings::default()
        },
        ..Settings::default()
    }
}

#[tokio::test]
async fn a_watcher_is_told_when_a_key_is_warm_and_when_its_answer_changes_though_nobody_reads() {
    let settings = renewed_after(Duration::from_millis(200), 1_024);
    let with = |builder: lasso_net::Builder| builder.settings(settings.clone());
    let nodes = nodes_with(180, 2, with).await;
    record(&nodes[1], 20);
    let mut watch = watch(&nodes[0]);
    let first = soon(watch.recv()).await.expect("it has not stopped");
    assert_eq!(calls(&first), 20);
    assert_eq!(first.coverage().unwrap().responding, 2);
    record(&nodes[1], 30);
    let more = watch
        .by_ref()
        .any(|readout| async move { calls(&readout) == 50 });
    assert!(soon(more).await);
    let stats = nodes[0].metrics().stats();
    let reads = stats.reads;
    assert_eq!(reads.fresh + reads.stale + reads.expired + reads.loading, 0);
    assert_eq!((stats.watched, stats.watches_refused), (1, 0));
}

#[tokio::test]
async fn a_watcher_is_told_of_a_change_of_membership_and_then_gets_an_answer_of_all() {
    let first = builder(181, 1, 2).start().await.expect("it starts");
    record(&first, 10);
    let mut watch = watch(&first);
    let alone = soon(watch.recv()).await.expect("it has not stopped");
    assert_eq!(
        (alone.coverage().unwrap().responding, alone.freshness),
        (1, Freshness::Fresh)
    );
    let second = builder(181, 2, 2).start().await.expect("it starts");
    record(&second, 15);
    let (mut stale, mut both) = (false, false);
    while !both {
        let readout = soon(watch.recv()).await.expect("it has not stopped");
        stale |= readout.freshness == Freshness::Stale;
        both = readout.coverage().unwrap().responding == 2 && calls(&readout) == 25;
    }
    assert!(stale, "what was from before it came was told to be so");
    assert!(
        first
            .topology()
            .members
            .iter()
            .any(|m| m.name().to_string() == name(181, 2))
    );
}

#[tokio::test]
async fn watchers_share_what_is_gathered_and_end_with_their_node() {
    let node = Cluster::builder().start().await.expect("it starts");
    let mut watches: Vec<_> = (0..100).map(|_| watch(&node)).collect();
    for watch in &mut watches {
        assert!(soon(watch.recv()).await.is_some());
    }
    let stats = node.metrics().stats();
    assert_eq!((stats.watched, stats.store.started), (1, 1));
    watches.truncate(1);
    assert_eq!(node.metrics().stats().watched, 1);
    node.shutdown().await;
    let watch = &mut watches[0];
    while soon(watch.recv()).await.is_some() {}
    assert!(soon(watch.recv()).await.is_none());
    drop(watches);
    assert_eq!(node.metrics().stats().watched, 0);
}

#[tokio::test]
async fn one_watched_key_too_many_is_refused_and_counted() {
    let settings = renewed_after(Duration::from_secs(10), 8);
    let node = Cluster::builder().settings(settings).start().await;
    let node = node.expect("it starts");
    let watch = |name: &str| node.metrics().watch::<Leaderboard>(&chain(name));
    let held = ["eth", "sol"].map(|name| watch(name).expect("there is room"));
    let refused = watch("btc").unwrap_err();
    assert!(matches!(refused, AskError::TooManyWatched { max: 2, .. }));
    assert_eq!(node.metrics().stats().watches_refused, 1);
    drop(held);
    assert!(watch("btc").is_ok());
}

#[tokio::test]
async fn topology_events_come_on_their_topic_in_order_and_as_they_are_told() {
    let nodes = nodes_with(182, 2, |builder| builder).await;
    let [a, b] = &nodes[..] else { panic!() };
    let mut topic = a.subscribe::<TopologyEvent>(TOPOLOGY).unwrap();
    let mut events = a.topology_events();
    b.set_ready(true);
    b.set_ready(false);
    b.shutdown().await;
    loop {
        let Some(TopologyUpdate::Event(told)) = soon(events.recv()).await else {
            panic!("the node is there")
        };
        let Some(Received::Message { value, source, .. }) = soon(topic.recv()).await else {
            panic!("the node is there")
        };
        assert_eq!(value, *told);
        assert_eq!(source.node, a.name());
        if matches!(told.change, Change::NodeDisconnected { .. }) {
            break;
        }
    }
}
