//! What all nodes have recorded, asked over real sockets on loopback.

mod common;

use std::hash::{Hash, Hasher};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, OnceLock};
use std::thread::{self, ThreadId};
use std::time::Duration;

use futures_util::future::join_all;
use lasso_core::event::Change;
use lasso_core::name::NodeName;
use lasso_core::plane::{CallError, Reject};
use lasso_core::time::Instant;
use lasso_net::config::Config;
use lasso_net::metrics::{
    AskError, Call, Freshness, Leaderboard, MetricsStats, Outcome, ProviderKey, Query, Ranking,
    Readout, RegisterError, SeriesKey,
};
use lasso_net::{Cluster, TopologyUpdate};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::common::{SOON, builder, name, nodes_with, soon};

/// So many nodes that know each other.
async fn nodes(net: u8, count: usize) -> Vec<Cluster> {
    nodes_with(net, count, |builder| builder).await
}

fn chain() -> ProviderKey {
    ProviderKey {
        profile: "free".into(),
        chain: "ethereum".into(),
    }
}

fn record(node: &Cluster, took: Duration) {
    let key = SeriesKey {
        profile: "free",
        provider: "alchemy",
        chain: "ethereum",
        method: "eth_call",
        region: "iad",
    };
    node.record(&key, Call::new(Outcome::Success, took));
}

fn record_many(node: &Cluster, calls: usize, millis: u64) {
    for _ in 0..calls {
        record(node, Duration::from_millis(millis));
    }
}

async fn board(node: &Cluster) -> Readout<Ranking> {
    let metrics = node.metrics();
    let readout = metrics.get_or_wait::<Leaderboard>(&chain(), SOON).await;
    readout.expect("it is shipped")
}

fn stats(node: &Cluster) -> MetricsStats {
    node.metrics().stats()
}

/// Reads until the answer is fresh.
async fn fresh(node: &Cluster) -> Readout<Ranking> {
    let read = async {
        loop {
            let readout = node.metrics().get::<Leaderboard>(&chain()).unwrap();
            if readout.freshness == Freshness::Fresh {
                return readout;
            }
            tokio::task::yield_now().await;
        }
    };
    soon(read).await
}

#[tokio::test]
async fn calls_of_two_nodes_are_told_as_one_by_a_third() {
    let nodes = nodes(80, 3).await;
    record_many(&nodes[0], 1_000, 100);
    record_many(&nodes[1], 100, 200);
    let readout = board(&nodes[2]).await;
    let figures = &readout.value().unwrap().providers[0].figures;
    assert_eq!(figures.calls, 1_100);
    assert_eq!(format!("{:.2}", figures.mean_latency_ms), "109.09");
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (3, 3));
    assert!(coverage.failed.is_empty());
    assert_eq!(readout.freshness, Freshness::Fresh);
}

#[tokio::test]
async fn a_thousand_callers_at_once_cause_one_refresh_and_all_get_its_answer() {
    let nodes = nodes(81, 3).await;
    record_many(&nodes[1], 50, 100);
    let callers = (0..1_000).map(|_| board(&nodes[0]));
    let readouts = join_all(callers).await;
    for readout in &readouts {
        assert_eq!(readout.value().unwrap().providers[0].figures.calls, 50);
    }
    // And those who do not wait.
    for _ in 0..1_000 {
        nodes[0].metrics().get::<Leaderboard>(&chain()).unwrap();
    }
    let stats = stats(&nodes[0]);
    assert_eq!((stats.store.started, stats.store.finished), (1, 1));
    assert_eq!((stats.reads.loading, stats.reads.fresh), (1_000, 2_000));
    assert_eq!((stats.keys, stats.wishes_lost), (1, 0));
}

#[tokio::test]
async fn when_a_node_goes_its_answer_is_stale_at_once_and_then_covers_less() {
    let nodes = nodes(82, 3).await;
    let [a, b, c] = &nodes[..] else { panic!() };
    record_many(b, 20, 100);
    record_many(c, 30, 100);
    let before = board(a).await;
    assert_eq!(before.value().unwrap().providers[0].figures.calls, 50);
    let mut events = a.topology_events();
    c.shutdown().await;
    loop {
        let Some(TopologyUpdate::Event(event)) = soon(events.recv()).await else {
            panic!("the node is there")
        };
        if matches!(event.change, Change::NodeDisconnected { .. }) {
            break;
        }
    }
    // Whoever has heard of it reads nothing fresh from before; but the value is not thrown away.
    let readout = a.metrics().get::<Leaderboard>(&chain()).unwrap();
    assert_eq!(readout.freshness, Freshness::Stale);
    assert_eq!(readout.value().unwrap().providers[0].figures.calls, 50);
    let after = fresh(a).await;
    assert_eq!(after.value().unwrap().providers[0].figures.calls, 20);
    let coverage = after.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (2, 3));
    assert_eq!(stats(a).store.started, 2);
}

#[tokio::test]
async fn with_metrics_off_a_node_answers_for_itself_and_says_so_and_still_answers_others() {
    let config = Config {
        metrics_enabled: false,
        ..Config::default()
    };
    let a = Cluster::builder()
        .config(config)
        .name(&name(83, 1))
        .cookie("a secret of at least thirty-two bytes")
        .peer(&name(83, 2));
    let a = a.start().await.unwrap();
    let b = builder(83, 2, 2).start().await.unwrap();
    for node in [&a, &b] {
        node.wait_for(2, SOON).await.unwrap();
    }
    record_many(&a, 20, 100);
    record_many(&b, 30, 100);
    let alone = board(&a).await;
    assert_eq!(alone.value().unwrap().providers[0].figures.calls, 20);
    assert_eq!(alone.freshness, Freshness::Fresh);
    let coverage = alone.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (1, 2));
    assert!(!stats(&a).enabled);
    let both = board(&b).await;
    assert_eq!(both.value().unwrap().providers[0].figures.calls, 50);
    assert_eq!(both.coverage().unwrap().responding, 2);
}

/// Of 20,000 latencies over five nodes: sums of products of a small generator, most below 100 ms and
/// a few beyond 10 s.
fn heavy_tailed(seed: u64) -> Vec<u64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        // 1 to 2^20, evenly.
        (state >> 44) + 1
    };
    let shape = |even: u64| 20_000_000 * (1 << 20) / even;
    (0..20_000).map(|_| shape(next()) + next() * 40).collect()
}

#[tokio::test]
async fn percentiles_over_five_uneven_nodes_are_within_one_percent_of_the_exact_ones() {
    let nodes = nodes(84, 5).await;
    let mut values = heavy_tailed(7);
    let cuts = [0, 11, 400, 2_400, 7_000, 20_000];
    for (node, cut) in nodes.iter().zip(cuts.windows(2)) {
        for value in &values[cut[0]..cut[1]] {
            record(node, Duration::from_nanos(*value));
        }
    }
    values.sort_unstable();
    let readout = board(&nodes[0]).await;
    let figures = &readout.value().unwrap().providers[0].figures;
    assert_eq!(figures.calls, 20_000);
    let told = [
        (50, figures.p50_ms),
        (95, figures.p95_ms),
        (99, figures.p99_ms),
    ];
    for (percent, told) in told {
        let exact = values[20_000 * percent / 100 - 1] as f64 / 1e6;
        let error = (told.unwrap() - exact).abs() / exact;
        assert!(
            error <= 0.01,
            "p{percent}: {told:?} for {exact}, off by {error}"
        );
    }
}

/// How many sessions all nodes hold.
struct Sessions(u64);

impl Query for Sessions {
    const NAME: &'static str = "app.sessions";
    type Key = String;
    type Partial = u64;
    type Answer = u64;

    fn collect(&self, _now: Instant, _: &String) -> u64 {
        assert_ne!(self.0, 13, "an unlucky number");
        self.0
    }

    fn merge(&self, key: &String, parts: Vec<(NodeName, u64)>) -> u64 {
        assert_ne!(key, "merge and panic");
        parts.iter().map(|(_, part)| part).sum()
    }
}

#[tokio::test]
async fn a_query_of_the_application_spoils_nothing_where_it_is_missing_or_panics() {
    let nodes = nodes(85, 4).await;
    let metrics = nodes[0].metrics();
    let key = "all".to_owned();
    let error = metrics.get::<Sessions>(&key).unwrap_err();
    assert_eq!(error, AskError::NotRegistered("app.sessions"));
    for (node, sessions) in nodes.iter().zip([3, 4, 13]) {
        node.metrics().register(Sessions(sessions)).unwrap();
    }
    let again = metrics.register(Sessions(1));
    assert_eq!(again, Err(RegisterError::Taken("app.sessions")));
    let readout = metrics.get_or_wait::<Sessions>(&key, SOON).await.unwrap();
    assert_eq!(readout.value(), Some(&7));
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (2, 4));
    let failed: Vec<_> = coverage
        .failed
        .iter()
        .map(|(node, error)| match error {
            CallError::Rejected(reject) => (node.clone(), reject.code),
            other => panic!("{other:?}"),
        })
        .collect();
    let unlucky = (nodes[2].name(), Reject::CODE_NODE);
    assert_eq!(failed, [unlucky, (nodes[3].name(), 1)]);
    let huge = metrics.get::<Sessions>(&"x".repeat(2_000)).unwrap_err();
    assert!(matches!(huge, AskError::KeyTooLarge { bytes: 2_003, .. }));
}

#[tokio::test]
async fn where_this_nodes_own_part_is_missing_the_others_parts_count() {
    let nodes = nodes(90, 3).await;
    for (node, sessions) in nodes.iter().zip([13, 4, 5]) {
        node.metrics().register(Sessions(sessions)).unwrap();
    }
    let metrics = nodes[0].metrics();
    let key = "all".to_owned();
    let readout = metrics.get_or_wait::<Sessions>(&key, SOON).await.unwrap();
    assert_eq!(readout.value(), Some(&9));
    let coverage = readout.coverage().unwrap();
    assert_eq!((coverage.responding, coverage.total), (2, 3));
    let [(node, CallError::Rejected(reject))] = &coverage.failed[..] else {
        panic!("{:?}", coverage.failed)
    };
    assert_eq!(*node, nodes[0].name());
    assert_eq!(
        reject.message,
        "collecting a part of `app.sessions` panicked"
    );
}

#[tokio::test]
async fn nobody_waits_for_a_node_that_has_stopped() {
    let a = Cluster::builder().start().await.unwrap();
    a.clone().shutdown().await;
    let metrics = a.metrics();
    let an_hour = Duration::from_secs(3_600);
    let readout = soon(metrics.get_or_wait::<Leaderboard>(&chain(), an_hour)).await;
    assert!(readout.unwrap().is_loading());
}

#[tokio::test]
async fn a_merge_that_panics_costs_its_own_answer_alone() {
    let a = Cluster::builder().start().await.unwrap();
    a.metrics().register(Sessions(3)).unwrap();
    let key = "merge and panic".to_owned();
    let failed = async {
        a.metrics().get::<Sessions>(&key).unwrap();
        while stats(&a).store.failed == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(failed).await;
    assert!(a.metrics().get::<Sessions>(&key).unwrap().is_loading());
    record_many(&a, 10, 5);
    assert_eq!(board(&a).await.value().unwrap().providers.len(), 1);
}

/// A key that only one thread can look for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Shy;

static FAMILIAR: OnceLock<ThreadId> = OnceLock::new();

impl Hash for Shy {
    fn hash<H: Hasher>(&self, _: &mut H) {
        assert_eq!(FAMILIAR.get(), Some(&thread::current().id()), "a stranger");
    }
}

struct Shyly;

impl Query for Shyly {
    const NAME: &'static str = "app.shyly";
    type Key = Shy;
    type Partial = ();
    type Answer = ();

    fn collect(&self, _: Instant, _: &Shy) {}

    fn merge(&self, _: &Shy, _: Vec<(NodeName, ())>) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_key_that_panics_costs_its_own_answer_alone() {
    FAMILIAR.get_or_init(|| thread::current().id());
    let a = Cluster::builder().start().await.unwrap();
    a.metrics().register(Shyly).unwrap();
    assert!(a.metrics().get::<Shyly>(&Shy).unwrap().is_loading());
    let lost = async {
        while a.metrics().stats().changes_lost == 0 {
            tokio::task::yield_now().await;
        }
    };
    soon(lost).await;
    assert!(a.metrics().get::<Shyly>(&Shy).unwrap().is_loading());
    record_many(&a, 10, 5);
    assert_eq!(board(&a).await.value().unwrap().providers.len(), 1);
}

#[tokio::test]
async fn a_reader_with_many_reads_may_tell_the_moment() {
    let a = Cluster::builder().start().await.unwrap();
    record_many(&a, 10, 5);
    board(&a).await;
    let reader = a.metrics().reader::<Leaderboard>().unwrap();
    let now = reader.now();
    let worth = [
        (20, Freshness::Stale),
        (70, Freshness::Expired),
        (400, Freshness::Loading),
    ];
    for (later, freshness) in worth {
        let readout = reader.get_at(now + Duration::from_secs(later), &chain());
        assert_eq!(readout.unwrap().freshness, freshness, "{later} s later");
    }
}

#[tokio::test]
async fn what_a_node_that_has_stopped_has_gathered_can_still_be_read() {
    let a = Cluster::builder().start().await.unwrap();
    record_many(&a, 10, 5);
    board(&a).await;
    let reader = a.metrics().reader::<Leaderboard>().unwrap();
    a.shutdown().await;
    drop(a);
    let readout = reader.get(&chain()).unwrap();
    assert_eq!(readout.value().unwrap().providers[0].figures.calls, 10);
}

#[tokio::test]
async fn whoever_waits_for_what_never_comes_gets_loading_in_time() {
    let a = Cluster::builder().start().await.unwrap();
    a.shutdown().await;
    let wait = Duration::from_millis(20);
    let metrics = a.metrics();
    let readout = metrics.get_or_wait::<Leaderboard>(&chain(), wait).await;
    assert!(readout.unwrap().is_loading());
}

/// A query whose code stands still at one place, until it is let go.
struct Held {
    at: &'static str,
    arrived: UnboundedSender<()>,
    go_on: Mutex<Receiver<()>>,
}

impl Held {
    /// The query, how it tells that it has arrived, and how it is let go.
    fn at(at: &'static str) -> (Self, UnboundedReceiver<()>, Sender<()>) {
        let (arrived, arrives) = unbounded_channel();
        let (let_go, go_on) = channel();
        let go_on = Mutex::new(go_on);
        (Held { at, arrived, go_on }, arrives, let_go)
    }

    fn pass(&self, at: &'static str) {
        if self.at == at {
            let _ = self.arrived.send(());
            // It is let go by a word, or as the test is over.
            let _ = self.go_on.lock().expect("nobody panics").recv();
        }
    }
}

impl Query for Held {
    const NAME: &'static str = "app.held";
    type Key = String;
    type Partial = u64;
    type Answer = u64;

    fn collect(&self, _now: Instant, _: &String) -> u64 {
        self.pass("part");
        1
    }

    fn merge(&self, _: &String, parts: Vec<(NodeName, u64)>) -> u64 {
        self.pass("merge");
        parts.iter().map(|(_, part)| part).sum()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn while_a_refresh_stands_still_calls_are_recorded_and_answers_read() {
    let nodes = nodes(91, 2).await;
    let [a, b] = &nodes[..] else { panic!() };
    let (mine, mut merging, merge) = Held::at("merge");
    let (theirs, mut collecting, collect) = Held::at("part");
    a.metrics().register(mine).unwrap();
    b.metrics().register(theirs).unwrap();
    record_many(a, 10, 5);
    board(a).await;
    let goes_on = |recorded: u64| {
        for node in [a, b] {
            record_many(node, 10, 5);
        }
        assert_eq!(stats(a).recorder.recorded, recorded);
        let readout = a.metrics().get::<Leaderboard>(&chain()).unwrap();
        let provider = &readout.value().expect("it was gathered before").providers[0];
        assert!(provider.figures.calls >= 10);
        let key = String::new();
        assert!(a.metrics().get::<Held>(&key).unwrap().is_loading());
    };
    let key = String::new();
    assert!(a.metrics().get::<Held>(&key).unwrap().is_loading());
    soon(collecting.recv()).await;
    goes_on(20);
    collect.send(()).unwrap();
    soon(merging.recv()).await;
    goes_on(30);
    drop((collect, merge));
    let whole = a.metrics().get_or_wait::<Held>(&key, SOON).await.unwrap();
    assert_eq!(whole.value(), Some(&2));
}
