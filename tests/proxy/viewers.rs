//! What viewers see, on any node of a cluster.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use http_body_util::BodyExt;
use lasso::{Audience, Cluster};
use serde_json::Value;

use crate::client::{Client, call};

pub(crate) const SOON: Duration = Duration::from_secs(30);

pub(crate) const SETTINGS: &str = r#"
operator_key = "the-operators"
[limits]
viewers = 2
[[keys]]
key = "the-key-of-acme"
profile = "p"
account = "acme"
[[keys]]
key = "the-key-of-other"
profile = "p"
account = "other"
[profiles.p]
sampling = 1.0
[profiles.p.chains.eth]
[[profiles.p.chains.eth.providers]]
name = "a"
simulated = { latency = "1ms" }
[profiles.q.chains.eth]
[[profiles.q.chains.eth.providers]]
name = "a"
simulated = {}
"#;

/// So many nodes that know each other, in a `net` of their own.
pub(crate) async fn nodes(net: u8, settings: &str, regions: &[&str]) -> Vec<(Cluster, Client)> {
    // Another run of the tests may be under way on this machine.
    let process = std::process::id() % 250 + 1;
    let name = |host: usize| format!("app@127.{process}.{net}.{}", host + 1);
    let mut nodes = Vec::new();
    for (host, region) in regions.iter().enumerate() {
        let others = (0..regions.len()).filter(|other| *other != host);
        let mut builder = Cluster::builder()
            .settings(Client::cluster_settings(settings))
            .region(region);
        if regions.len() > 1 {
            let cookie = "a secret of at least thirty-two bytes";
            builder = builder.name(&name(host)).cookie(cookie);
        }
        let builder = others.fold(builder, |builder, other| builder.peer(&name(other)));
        nodes.push(builder.start().await.expect("it starts"));
    }
    for node in &nodes {
        node.wait_for(regions.len(), SOON)
            .await
            .expect("they link up");
    }
    let client = |node: Cluster| (node.clone(), Client::on(&node, settings));
    nodes.into_iter().map(client).collect()
}

/// Waits until `publisher` knows of all that `subscriber` has subscribed to so far.
async fn heard(publisher: &Cluster, subscriber: &Cluster) {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let topic = format!("the last of all {}", CALLS.fetch_add(1, Ordering::Relaxed));
    let _last = subscriber.subscribe_raw(&topic).expect("there is room");
    let to = Audience::Node(subscriber.name());
    let sent = || publisher.publish_raw(&topic, "", to.clone());
    let known = async {
        while sent().expect("they are linked").nodes == 0 {
            tokio::task::yield_now().await;
        }
    };
    let known = tokio::time::timeout(SOON, known).await;
    known.expect("what is subscribed to is soon known");
}

/// A stream of server-sent events.
struct Events {
    body: Body,
    text: String,
}

impl Events {
    async fn open(client: &Client, key: &str, query: &str) -> Self {
        let (status, body) = client.watch(Some(key), query).await;
        assert_eq!(status, StatusCode::OK);
        Events {
            body,
            text: String::new(),
        }
    }

    /// The next one's name and data.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let line = |start: &str| event.lines().find_map(|line| line.strip_prefix(start));
                let (name, data) = (line("event: ").unwrap(), line("data: ").unwrap());
                let next = (name.to_owned(), serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                return next;
            }
            let frame = tokio::time::timeout(SOON, self.body.frame()).await;
            let frame = frame.expect("soon").expect("it goes on").expect("no error");
            let data = frame.into_data().expect("there are no trailers");
            self.text += std::str::from_utf8(&data).expect("text");
        }
    }

    /// The next events of requests, `number` of them.
    async fn decisions(&mut self, number: usize) -> Vec<Value> {
        let mut all = Vec::new();
        let look = async {
            while all.len() < number {
                let (_, data) = self.next().await;
                all.extend(data["events"].as_array().unwrap().iter().cloned());
            }
        };
        let _ = tokio::time::timeout(SOON, look).await;
        assert_eq!(all.len(), number, "{all:?}");
        all
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_sees_its_own_requests_of_every_node_and_the_operator_all_without_accounts() {
    let nodes = nodes(73, SETTINGS, &["iad", "sjc"]).await;
    let [(here, one), (there, other)] = &nodes[..] else {
        unreachable!("there are two");
    };
    let mut acme = Events::open(other, "the-key-of-acme", "profile=p").await;
    let mut operator = Events::open(other, "the-operators", "profile=p").await;
    for viewer in [&mut acme, &mut operator] {
        let (name, data) = viewer.next().await;
        assert_eq!(name, "snapshot");
        assert_eq!(data["coverage"]["connected"], 2);
    }
    heard(here, there).await;
    for key in ["the-key-of-other", "the-key-of-acme", "the-operators"] {
        let answered = one.post_as(key, "p/eth", call(1, "eth_call")).await;
        assert_eq!(answered.status, StatusCode::OK);
    }
    let own = acme.decisions(1).await;
    assert_eq!(
        (&own[0]["account"], &own[0]["region"]),
        (&"acme".into(), &"iad".into())
    );
    assert_eq!(
        (&own[0]["kind"], &own[0]["provider"]),
        (&"routing_decision".into(), &"a".into())
    );
    let all = operator.decisions(3).await;
    assert!(all.iter().all(|event| event["account"].is_null()));
    assert!(
        all.iter()
            .any(|event| event["request_id"] == own[0]["request_id"])
    );
    // Nothing else is on its way to the account.
    other
        .post_as("the-key-of-acme", "p/eth", call(2, "eth_chainId"))
        .await;
    let own = acme.decisions(1).await;
    assert_eq!(
        (&own[0]["method"], &own[0]["region"]),
        (&"eth_chainId".into(), &"sjc".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_circuits_health_and_heights() {
    let broken = SETTINGS.replace("latency = \"1ms\"", "latency = \"1ms\", error_rate = 1.0");
    let busy = broken.replace(
        "[profiles.p.chains.eth]",
        "[profiles.p.chains.eth]\nblock_time = \"50ms\"",
    );
    let nodes = nodes(74, &format!("height_interval = \"20ms\"\n{busy}"), &["iad"]).await;
    let client = &nodes[0].1;
    let mut operator = Events::open(client, "the-operators", "profile=p").await;
    for id in 0..5 {
        client.post_from(id % 2, "p/eth", call(1, "eth_call")).await;
    }
    let mut groups = BTreeSet::new();
    let look = async {
        while groups.len() < 3 {
            let (_, data) = operator.next().await;
            for state in data["states"]["changed"].as_array().unwrap() {
                assert_eq!(state["key"]["subject"], "a");
                groups.insert(state["key"]["group"].as_str().unwrap().to_owned());
            }
        }
    };
    let _ = tokio::time::timeout(SOON, look).await;
    let groups: Vec<_> = groups.iter().map(String::as_str).collect();
    assert_eq!(groups, ["circuit", "health", "height"]);
}

/// The provider's row, once `shows` something in it.
async fn row(events: &mut Events, shows: impl Fn(&Value) -> bool) -> Value {
    let look = async {
        loop {
            let (_, data) = events.next().await;
            let rows = data["providers"].as_array().unwrap().iter();
            if let Some(row) = rows.rev().find(|row| shows(row)) {
                return row.clone();
            }
        }
    };
    tokio::time::timeout(SOON, look).await.expect("it is shown")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_provider_has_both_regions_heights_and_both_nodes_counts() {
    let behind = SETTINGS.replace(
        "latency = \"1ms\"",
        "latency = \"1ms\", regions = { sjc = { lag = 3 } }",
    );
    let settings = format!("height_interval = \"20ms\"\n{behind}");
    let nodes = nodes(84, &settings, &["iad", "sjc"]).await;
    let mut operator = Events::open(&nodes[0].1, "the-operators", "profile=p").await;
    let mut acme = Events::open(&nodes[0].1, "the-key-of-acme", "profile=p").await;
    heard(&nodes[1].0, &nodes[0].0).await;
    for (_, client) in &nodes {
        client.post("p/eth", call(1, "eth_call")).await;
    }
    let is_whole = |row: &Value| {
        let nodes = row["nodes"].as_array().unwrap();
        let counted = nodes.iter().filter(|node| node["successes_in_row"] == 1);
        row["heights"].as_array().unwrap().len() == 2 && counted.count() == 2
    };
    let seen = row(&mut operator, is_whole).await;
    let heights = &seen["heights"];
    assert_eq!(
        (&heights[0]["region"], &heights[1]["region"]),
        (&"iad".into(), &"sjc".into())
    );
    assert_eq!(
        (&heights[0]["lag"], &heights[1]["lag"]),
        (&0.into(), &3.into())
    );
    assert_eq!(seen["worst_lag"], 3);
    assert_eq!(seen["methods"][0]["method"], "eth_call");
    // Which methods all accounts call is not for one of them.
    let seen = row(&mut acme, is_whole).await;
    assert_eq!(seen["methods"], Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_is_told_why() {
    let nodes = nodes(75, SETTINGS, &["iad"]).await;
    let client = &nodes[0].1;
    for (key, query, status) in [
        (None, "profile=p", StatusCode::UNAUTHORIZED),
        (
            Some("any-key-at-all"),
            "profile=p",
            StatusCode::UNAUTHORIZED,
        ),
        (
            Some("the-key-of-acme"),
            "profile=q",
            StatusCode::UNAUTHORIZED,
        ),
        (
            Some("the-key-of-acme"),
            "profile=p&account=other",
            StatusCode::FORBIDDEN,
        ),
        (Some("the-operators"), "profile=none", StatusCode::NOT_FOUND),
        (
            Some("the-operators"),
            "profile=p&account=a%3Ab",
            StatusCode::BAD_REQUEST,
        ),
        (Some("the-operators"), "", StatusCode::BAD_REQUEST),
    ] {
        assert_eq!(client.watch(key, query).await.0, status, "{key:?} {query}");
    }
    let (status, body) = client.watch(Some("the-operators"), "profil=p").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let body = body.collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert!(
        body["error"].as_str().unwrap().contains("`profile`"),
        "{body}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_takes_its_share_of_the_places_and_one_is_kept_for_the_operator() {
    let settings = SETTINGS.replace("viewers = 2", "viewers = 8\nviewers_per_account = 4");
    let nodes = nodes(79, &settings, &["iad"]).await;
    let client = &nodes[0].1;
    let refused = async |key: &'static str| {
        let (status, body) = client.watch(Some(key), "profile=p").await;
        let body = body.collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap();
        (status, body["error"].as_str().unwrap().to_owned())
    };
    let (acme, other) = ("the-key-of-acme", "the-key-of-other");
    let mut watching = Vec::new();
    for key in [acme, acme, acme, acme, other, other, other] {
        watching.push(Events::open(client, key, "profile=p").await);
    }
    let (status, why) = refused(acme).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS, "{why}");
    let (status, why) = refused(other).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{why}");
    let operator = Events::open(client, "the-operators", "profile=p").await;
    assert_eq!(
        refused("the-operators").await.0,
        StatusCode::SERVICE_UNAVAILABLE
    );
    drop(operator);
    watching.remove(0);
    let _operator = Events::open(client, "the-operators", "profile=q").await;
    let _other = Events::open(client, other, "profile=p").await;
}

/// Every field of a value, by its way from the root; fields of events and states by their kind.
fn fields(value: &Value, way: &str, all: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            let kind = object.get("kind").and_then(Value::as_str).unwrap_or("");
            for (key, value) in object {
                let way = format!("{way}.{kind}{key}");
                fields(value, &way, all);
                all.insert(way);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, way, all)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_example_of_events_has_the_fields_of_real_ones() {
    let text = include_str!("../../docs/proxy.md");
    let (_, example) = text.split_once("```json\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let example = serde_json::from_str(example).expect("JSON");
    let mut documented = BTreeSet::new();
    fields(&example, "", &mut documented);
    let settings = format!(
        "height_interval = \"20ms\"\n{SETTINGS}
        [profiles.p.chains.bad]
        block_time = \"50ms\"
        providers = [{{ name = \"a\", simulated = {{ latency = \"1ms\", error_rate = 1.0 }} }}]"
    );
    let nodes = nodes(69, &settings, &["iad"]).await;
    let client = &nodes[0].1;
    let mut acme = Events::open(client, "the-key-of-acme", "profile=p").await;
    client
        .post_as("the-key-of-acme", "p/eth", call(1, "eth_call"))
        .await;
    // A circuit opens, which is told at once.
    for id in 0..5 {
        client.post_from(id % 2, "p/bad", call(1, "eth_call")).await;
    }
    let mut real = BTreeSet::new();
    let look = async {
        while !documented.is_subset(&real) {
            let (_, data) = acme.next().await;
            fields(&data, "", &mut real);
        }
    };
    // Late is not the same: what is missing then is shown.
    let _ = tokio::time::timeout(SOON, look).await;
    assert_eq!(documented, real);
}

#[test]
fn the_documented_configurations_are_accepted() {
    let text = include_str!("../../docs/proxy.md");
    for block in text.split("```toml\n").skip(1) {
        let (block, _) = block.split_once("```").expect("its end");
        crate::proxy::settings::Settings::read(block).expect("it is accepted");
    }
}
