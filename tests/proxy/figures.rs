//! What all nodes have counted, asked at any of them.

use axum::http::{Request, StatusCode};
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use crate::client::{Answered, Client, call};
use crate::viewers::{SOON, nodes};

/// One provider, which takes exactly 100 ms in one region and 200 ms in another, and fails in a third.
const SETTINGS: &str = r#"
[limits]
batch = 100
[breaker]
failures = 100000
[profiles.p.chains.eth]
[[profiles.p.chains.eth.providers]]
name = "a"
[profiles.p.chains.eth.providers.simulated]
latency = "100ms"
jitter = 0.0
[profiles.p.chains.eth.providers.simulated.regions]
sjc = { latency = "200ms" }
fra = { error_rate = 0.5 }
"#;

async fn get(client: &Client, key: Option<&str>, path: &str) -> Answered {
    let mut request = Request::get(path);
    if let Some(key) = key {
        request = request.header("X-Api-Key", key);
    }
    client.send(request.body("".into()).unwrap()).await
}

/// Asks so often, ten batches of a hundred at a time at most.
async fn ask(client: &Client, number: u64) {
    let calls: Vec<String> = (0..number).map(|id| call(id, "eth_call")).collect();
    let batches = calls
        .chunks(100)
        .map(|calls| format!("[{}]", calls.join(",")));
    let asked = batches.map(|batch| client.post("p/eth", batch));
    let answers: Vec<Answered> = stream::iter(asked).buffer_unordered(5).collect().await;
    assert!(
        answers
            .iter()
            .all(|answered| answered.status == StatusCode::OK)
    );
}

/// Waits until each node has counted what it was asked.
async fn counted(nodes: &[(lasso::Cluster, Client)], calls: &[u64]) {
    let all = async {
        for ((cluster, _), calls) in nodes.iter().zip(calls) {
            while cluster.metrics().stats().recorder.recorded < *calls {
                tokio::task::yield_now().await;
            }
        }
    };
    let counted = tokio::time::timeout(SOON, all).await;
    counted.expect("what is told of a request is soon recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_100_ms_and_200_ms_at_two_nodes_are_109_09_ms_at_a_third() {
    let nodes = nodes(76, SETTINGS, &["iad", "sjc", "ord"]).await;
    tokio::join!(ask(&nodes[0].1, 1_000), ask(&nodes[1].1, 100));
    counted(&nodes, &[1_000, 100]).await;
    let answered = get(
        &nodes[2].1,
        None,
        "/api/leaderboard?profile=p&chain=eth&wait=10s",
    )
    .await;
    let Answered { status, body, .. } = answered;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["freshness"], "fresh");
    assert_eq!(
        (&body["coverage"]["responding"], &body["coverage"]["total"]),
        (&json!(3), &json!(3))
    );
    let provider = &body["answer"]["providers"][0];
    assert_eq!(
        (&provider["provider"], &provider["figures"]["calls"]),
        (&json!("a"), &json!(1_100))
    );
    let mean = provider["figures"]["mean_latency_ms"].as_f64().unwrap();
    assert_eq!(format!("{mean:.2}"), "109.09");
    let methods = get(
        &nodes[2].1,
        None,
        "/api/methods?profile=p&chain=eth&wait=10s",
    )
    .await
    .body;
    assert_eq!(methods["answer"]["methods"][0]["method"], "eth_call");
    let breakdown = "/api/breakdown?profile=p&chain=eth&wait=10s";
    let breakdown = get(&nodes[2].1, None, breakdown).await.body;
    let pair = &breakdown["answer"]["pairs"][0];
    assert_eq!(
        (&pair["provider"], &pair["method"]),
        (&json!("a"), &json!("eth_call"))
    );
    assert_eq!(
        pair["figures"],
        breakdown["answer"]["providers"][0]["figures"]
    );
    let realtime = get(
        &nodes[2].1,
        None,
        "/api/realtime?profile=p&chain=eth&wait=10s",
    )
    .await
    .body;
    assert_eq!(realtime["answer"]["providers"], json!(["a"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_in_one_region_shows_its_mean_its_least_and_its_most() {
    let nodes = nodes(77, SETTINGS, &["iad", "fra"]).await;
    tokio::join!(ask(&nodes[0].1, 400), ask(&nodes[1].1, 400));
    counted(&nodes, &[400, 400]).await;
    let path = "/api/leaderboard?profile=p&chain=eth&wait=10s";
    let body = get(&nodes[0].1, None, path).await.body;
    let figures = &body["answer"]["providers"][0]["figures"];
    let rate = |value: &Value| value.as_f64().unwrap();
    let spread = &figures["success_rate_spread"];
    assert_eq!(
        (&spread["min_region"], &spread["max_region"]),
        (&json!("fra"), &json!("iad"))
    );
    assert_eq!(spread["max"], 1.0);
    // Half of 400, give or take four standard errors.
    assert!((rate(&spread["min"]) - 0.5).abs() < 0.1, "{spread}");
    let mean = (rate(&spread["min"]) + 1.0) / 2.0;
    assert!(
        (rate(&figures["success_rate"]) - mean).abs() < 1e-9,
        "{figures}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_keys_figures_are_the_operators_and_what_is_not_there_is_not_found() {
    let keys = format!(
        "operator_key = \"the-operators\"\n{SETTINGS}
        [[keys]]\nkey = \"the-key-of-acme\"\nprofile = \"p\"\naccount = \"acme\"
        [profiles.q.chains.eth]\nproviders = [{{ name = \"a\", simulated = {{}} }}]"
    );
    let nodes = nodes(78, &keys, &["iad"]).await;
    let client = &nodes[0].1;
    let (operator, acme) = (Some("the-operators"), Some("the-key-of-acme"));
    for (key, query, status) in [
        (None, "profile=p&chain=eth", StatusCode::UNAUTHORIZED),
        (
            Some("any-other-key"),
            "profile=p&chain=eth",
            StatusCode::UNAUTHORIZED,
        ),
        (acme, "profile=q&chain=eth", StatusCode::UNAUTHORIZED),
        (acme, "profile=p&chain=eth", StatusCode::FORBIDDEN),
        (operator, "profile=p&chain=eth", StatusCode::OK),
        (operator, "profile=q&chain=eth&wait=10s", StatusCode::OK),
        (operator, "profile=q&chain=none", StatusCode::NOT_FOUND),
        (operator, "profile=none&chain=eth", StatusCode::NOT_FOUND),
        (operator, "profile=q", StatusCode::BAD_REQUEST),
        (
            operator,
            "profile=q&chain=eth&wait=5",
            StatusCode::BAD_REQUEST,
        ),
        (
            operator,
            "profile=q&chain=eth&wait=60s",
            StatusCode::BAD_REQUEST,
        ),
        (
            operator,
            "profile=q&chain=eth&wiat=5s",
            StatusCode::BAD_REQUEST,
        ),
    ] {
        for path in ["leaderboard", "realtime", "methods"] {
            let path = format!("/api/{path}?{query}");
            assert_eq!(
                get(client, key, &path).await.status,
                status,
                "{key:?} {path}"
            );
        }
    }
    let ask = async |path: &str| get(client, operator, &format!("/api/{path}")).await;
    let answered = ask("methods?profile=q&chain=eth&method=eth_call").await;
    assert_eq!(answered.status, StatusCode::OK);
    for (path, words) in [
        ("leaderboard?profile=q&chain=eth&method=eth_call", "`wait`"),
        ("realtime?profile=q&chain=eth&wiat=1s", "`wait`"),
        ("methods?profile=q&chain=eth&wait=11s", "up to `10s`"),
    ] {
        let Answered { status, body, .. } = ask(path).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}");
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(words), "{path}: {error}");
    }
}
