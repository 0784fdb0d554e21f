//! Live events over real sockets on loopback.

mod common;
#[path = "common/heard.rs"]
mod heard;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use futures_core::Stream;
use lasso_core::config::Settings;
use lasso_core::name::Label;
use lasso_net::Cluster;
use lasso_net::events::{
    BlockHeight, Delivery, EventKinds, EventSettings, FieldValue, Group, KindRule, OpenEvent,
    Outcome, PROVIDER_CONNECTION, Pass, RoutingDecision, RoutingEvent, Row, Scope, ScopeError,
    Segment, StreamEvent, Thresholds, ViewError, Viewer,
};

use crate::common::{nodes_with, soon};
use crate::heard::heard;

/// So many nodes that know each other, in a `net` of their own. Batches go sooner than by default.
async fn nodes(net: u8, count: usize) -> Vec<Cluster> {
    let settings = Settings {
        events: EventSettings {
            batch_interval: Duration::from_millis(10),
            heartbeat: Duration::from_millis(50),
            linger: Duration::from_millis(100),
            // Every call is told.
            thresholds: Thresholds {
                calls: 1,
                ..Thresholds::default()
            },
            ..EventSettings::default()
        },
        ..Settings::default()
    };
    nodes_with(net, count, |builder| builder.settings(settings.clone())).await
}

/// Waits until this is so.
async fn until(what: impl Fn() -> bool) {
    soon(async {
        while !what() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn segment(text: &str) -> Segment {
    Segment::new(text).unwrap()
}

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn decision(node: &Cluster, id: &str) -> RoutingDecision {
    let unix_ms = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    RoutingDecision::new(
        label(id),
        u64::try_from(unix_ms.as_millis()).unwrap(),
        segment("premium"),
        node.name(),
        segment("eth"),
        label("alchemy"),
    )
}

/// Something that is always published.
fn failure(node: &Cluster, id: &str) -> RoutingEvent {
    let mut decision = decision(node, id);
    decision.result = Outcome::Error;
    RoutingEvent::Decision(decision)
}

async fn operator(node: &Cluster, scope: Scope) -> Viewer {
    let pass = Pass::operator(segment("premium"));
    let events = node.events(segment("premium")).chains([segment("eth")]);
    let viewer = soon(events.viewer(&pass, scope)).await;
    viewer.expect("it is let in")
}

/// Reads until so many events have come: their ids, and the newest calls by row.
async fn seen(viewer: &mut Viewer, events: usize) -> (Vec<String>, BTreeMap<Row, u64>) {
    let (mut ids, mut calls) = (Vec::new(), BTreeMap::new());
    while ids.len() < events {
        let delivery = soon(viewer.recv()).await.expect("the node runs");
        assert_eq!(delivery.lost, 0);
        ids.extend(
            delivery
                .events
                .iter()
                .filter_map(|e| e.id().map(str::to_owned)),
        );
        let rows = delivery.figures.changed.into_iter();
        calls.extend(rows.map(|(row, figures)| (row, figures.calls)));
    }
    (ids, calls)
}

/// Reads on until the whole has so many calls, and never more.
async fn counted(viewer: &mut Viewer, mut calls: BTreeMap<Row, u64>, expected: u64) {
    while calls.get(&Row::default()) != Some(&expected) {
        assert!(calls.values().all(|calls| *calls <= expected), "{calls:?}");
        let delivery = soon(viewer.recv()).await.expect("the node runs");
        let rows = delivery.figures.changed.into_iter();
        calls.extend(rows.map(|(row, figures)| (row, figures.calls)));
    }
}

#[tokio::test]
async fn a_viewer_sees_what_all_nodes_publish_once() {
    let nodes = nodes(171, 3).await;
    let [a, b, c] = &nodes[..] else { panic!() };
    let mut viewer = operator(a, Scope::Profile).await;
    let snapshot = soon(viewer.recv()).await.unwrap();
    assert!(snapshot.events.is_empty() && snapshot.states.changed.is_empty());
    assert_eq!(snapshot.coverage.unwrap().responding, 3);
    heard(b, a).await;
    heard(c, a).await;
    let twice = failure(b, "twice");
    for node in [b, c] {
        let reach = node.publish_event(twice.clone()).unwrap().unwrap();
        assert_eq!((reach.nodes, reach.shed), (1, 0));
    }
    for (node, id) in [(a, "of-a"), (b, "of-b"), (c, "of-c")] {
        node.publish_event(failure(node, id)).unwrap();
    }
    let (ids, calls) = seen(&mut viewer, 4).await;
    let distinct: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(distinct, BTreeSet::from(["of-a", "of-b", "of-c", "twice"]));
    soon(counted(&mut viewer, calls, 4)).await;
    // One that comes later finds them all.
    let late = operator(a, Scope::Profile).await.try_recv().unwrap();
    assert_eq!(late.events.len(), 4);
}

#[tokio::test]
async fn no_account_sees_another_and_nobody_what_is_not_theirs() {
    let nodes = nodes(172, 2).await;
    let [a, b] = &nodes[..] else { panic!() };
    let premium = a.events(segment("premium"));
    let pass = |account| Pass::account(segment("premium"), segment(account));
    for (pass, scope) in [
        (pass("acme"), Scope::Profile),
        (pass("acme"), Scope::Account(segment("other"))),
        (Pass::operator(segment("free")), Scope::Profile),
    ] {
        let refused = premium.viewer(&pass, scope).await.unwrap_err();
        assert_eq!(refused, ViewError::Scope(ScopeError::NotYours));
    }
    assert_eq!(
        a.event_counters().live.topics,
        0,
        "nothing was subscribed to"
    );
    let mut viewers = Vec::new();
    for account in ["acme", "other"] {
        let scope = Scope::Account(segment(account));
        let viewer = premium.viewer(&pass(account), scope).await;
        viewers.push(viewer.expect("it is theirs"));
    }
    let mut whole = operator(a, Scope::Profile).await;
    heard(b, a).await;
    for number in 0..20 {
        let account = ["acme", "other"][number % 2];
        let RoutingEvent::Decision(mut decision) = failure(b, &format!("{account}-{number}"))
        else {
            panic!()
        };
        decision.account = Some(segment(account));
        b.publish_event(RoutingEvent::Decision(decision)).unwrap();
    }
    for (viewer, account) in viewers.iter_mut().zip(["acme", "other"]) {
        let (ids, calls) = seen(viewer, 10).await;
        assert!(ids.iter().all(|id| id.starts_with(account)), "{ids:?}");
        soon(counted(viewer, calls, 10)).await;
    }
    assert_eq!(seen(&mut whole, 20).await.0.len(), 20);
    let counters = a.event_counters().live;
    assert_eq!((counters.feeds.withheld, counters.stream.misplaced), (0, 0));
}

#[tokio::test]
async fn with_the_last_viewer_gone_for_a_while_nothing_is_subscribed_to() {
    let nodes = nodes(173, 2).await;
    let [a, b] = &nodes[..] else { panic!() };
    let first = operator(a, Scope::Profile).await;
    let second = operator(a, Scope::Account(segment("acme"))).await;
    assert_eq!(a.event_counters().live.topics, 5);
    heard(b, a).await;
    let reach = b.publish_event(failure(b, "seen")).unwrap().unwrap();
    assert_eq!(reach.nodes, 1);
    drop((first, second));
    until(|| a.event_counters().live.streams == 0).await;
    assert_eq!(a.event_counters().live.topics, 0);
    let reached = || b.publish_event(failure(b, "late")).unwrap().unwrap().nodes;
    until(|| reached() == 0).await;
    // It begins anew, knowing nothing.
    let mut third = operator(a, Scope::Profile).await;
    assert!(third.try_recv().unwrap().events.is_empty());
    heard(b, a).await;
    b.publish_event(failure(b, "again")).unwrap();
    assert_eq!(seen(&mut third, 1).await.0, ["again"]);
}

#[tokio::test]
async fn what_sampling_leaves_out_is_in_the_figures() {
    let nodes = nodes(174, 2).await;
    let [a, b] = &nodes[..] else { panic!() };
    let mut viewer = operator(a, Scope::Profile).await;
    heard(b, a).await;
    let mut published = 0;
    for number in 0..1_000 {
        let event = RoutingEvent::Decision(decision(b, &number.to_string()));
        published += u32::from(b.publish_event(event).unwrap().is_some());
    }
    assert_eq!(published, 50);
    let (_, calls) = seen(&mut viewer, 50).await;
    soon(counted(&mut viewer, calls, 1_000)).await;
    assert_eq!(b.event_counters().sampler.taken, 50);
}

#[tokio::test]
async fn states_and_changes_of_the_coverage_reach_viewers() {
    let mut nodes = nodes(175, 2).await;
    let mut viewer = operator(&nodes[0], Scope::Account(segment("acme"))).await;
    heard(&nodes[1], &nodes[0]).await;
    let b = nodes.pop().unwrap();
    let height = BlockHeight {
        unix_ms: 1_769_248_800_000,
        profile: segment("premium"),
        source: b.name(),
        region: label("iad"),
        chain: segment("eth"),
        provider: label("alchemy"),
        height: 19_000_000,
        consensus: None,
        lag: None,
    };
    b.publish_event(RoutingEvent::Height(height.clone()))
        .unwrap();
    let height = RoutingEvent::Height(height);
    let mut tell = async |told: &dyn Fn(&Delivery) -> bool| {
        soon(async { while !told(&viewer.recv().await.expect("the node runs")) {} }).await;
    };
    tell(&|d| d.states.changed.iter().any(|(_, state)| **state == height)).await;
    b.shutdown().await;
    tell(&|d| d.coverage.as_ref().is_some_and(|c| c.responding == 1)).await;
    tell(&|d| d.is_heartbeat()).await;
}

#[tokio::test]
async fn kinds_of_an_application_are_seen_as_events_and_states_and_an_unknown_one_is_counted() {
    let mut kinds = EventKinds::default();
    kinds.register(label("deploy"), KindRule::Event).unwrap();
    let with_kinds = Settings {
        events: EventSettings {
            batch_interval: Duration::from_millis(10),
            kinds: kinds.clone(),
            ..EventSettings::default()
        },
        ..Settings::default()
    };
    let nodes = nodes_with(178, 2, |builder| builder.settings(with_kinds.clone())).await;
    let [a, b] = &nodes[..] else { panic!() };
    let mut viewer = operator(a, Scope::Profile).await;
    until(|| a.event_counters().live.topics == 4).await;
    // Registered at its publisher alone.
    let mut more = kinds.clone();
    more.register(label("party"), KindRule::Event).unwrap();
    let event = |kind: &str| {
        let (profile, chain) = (segment("premium"), segment("eth"));
        OpenEvent::new(&more, kind, 1, profile, b.name(), chain, label("alchemy")).unwrap()
    };
    let mut connection = event(PROVIDER_CONNECTION);
    connection.part = Some(label("web_socket"));
    let down = FieldValue::Text(label("down"));
    connection.set(label("state"), down).unwrap();
    let (deploy, connection) = (
        RoutingEvent::Open(event("deploy")),
        RoutingEvent::Open(connection),
    );
    let (mut has_event, mut has_state) = (false, false);
    soon(async {
        while !(has_event && has_state) {
            // What came before the other node knew of the viewer did not reach it.
            for event in [&deploy, &connection, &RoutingEvent::Open(event("party"))] {
                b.publish_event(event.clone()).unwrap();
            }
            let delivery = viewer.recv().await.expect("the node runs");
            has_event |= delivery.events.iter().any(|event| **event == deploy);
            has_state |= delivery.states.changed.iter().any(|(key, state)| {
                key.group == Group::Open(label(PROVIDER_CONNECTION)) && **state == connection
            });
        }
    })
    .await;
    until(|| a.event_counters().live.unknown > 0).await;
}

#[tokio::test]
async fn a_viewer_is_told_when_its_node_has_stopped() {
    let nodes = nodes(176, 2).await;
    let mut viewer = operator(&nodes[0], Scope::Profile).await;
    assert!(viewer.recv().await.is_some(), "the snapshot");
    let waiting = tokio::spawn(async move { while viewer.recv().await.is_some() {} });
    nodes[0].shutdown().await;
    soon(waiting).await.unwrap();
    let (pass, events) = (
        Pass::operator(segment("premium")),
        nodes[0].events(segment("premium")),
    );
    let late = soon(events.viewer(&pass, Scope::Profile)).await;
    assert_eq!(late.unwrap_err(), ViewError::Ended);
}

/// Wakes nobody; takes a viewer along when it is dropped.
struct Last(#[expect(dead_code, reason = "it is dropped")] Viewer);

impl std::task::Wake for Last {
    fn wake(self: Arc<Self>) {}
}

#[tokio::test]
async fn a_waker_may_end_a_viewer_when_it_is_dropped() {
    let nodes = nodes(177, 2).await;
    let mut viewer = operator(&nodes[0], Scope::Profile).await;
    assert!(viewer.recv().await.is_some(), "the snapshot");
    let viewers = || nodes[0].event_counters().live.viewers;
    for _ in 0..3 {
        // It is replaced by the next one, and the last goes with its viewer.
        let other = operator(&nodes[0], Scope::Profile).await;
        let waker = Waker::from(Arc::new(Last(other)));
        loop {
            // A heartbeat may have come meanwhile: then nobody waits.
            let mut cx = Context::from_waker(&waker);
            if Pin::new(&mut viewer).poll_next(&mut cx).is_pending() {
                break;
            }
        }
        drop(waker);
        until(|| viewers() <= 2).await; // those before are gone
    }
    drop(viewer);
    until(|| viewers() == 0).await;
}
