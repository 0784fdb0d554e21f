//! What pages of the web may do here, and how they are let in.

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::Value;

use crate::client::{Client, call};
use crate::viewers::{SETTINGS, nodes};

const PAGES: &str = r#"
[web]
hosts = ["rpc.example.org"]
origins = ["https://app.example.org"]
"#;

async fn ticket(client: &Client, key: &str) -> String {
    let request = Request::post("/events/ticket?profile=p").header("X-Api-Key", key);
    let answered = client.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
    assert_eq!(answered.body["expires_in_ms"], 30_000);
    assert_eq!(answered.headers[header::CACHE_CONTROL], "no-store");
    answered.body["ticket"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_without_a_key_opens_events_with_a_ticket_and_once() {
    let nodes = nodes(81, SETTINGS, &["iad"]).await;
    let client = &nodes[0].1;
    let first = ticket(client, "the-key-of-acme").await;
    let query = format!("profile=p&ticket={first}");
    let (status, events) = client.watch(None, &query).await;
    assert_eq!(status, StatusCode::OK);
    drop(events);
    assert_eq!(client.watch(None, &query).await.0, StatusCode::UNAUTHORIZED);
    // It is worth what the key is worth, and no more.
    let (second, third) = (
        ticket(client, "the-key-of-acme").await,
        ticket(client, "the-key-of-acme").await,
    );
    for (query, expected) in [
        (
            format!("profile=p&account=other&ticket={second}"),
            StatusCode::FORBIDDEN,
        ),
        (
            format!("profile=q&ticket={third}"),
            StatusCode::UNAUTHORIZED,
        ),
        ("profile=p&ticket=none".into(), StatusCode::UNAUTHORIZED),
        ("profile=p&ticket=".into(), StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(client.watch(None, &query).await.0, expected, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_given_for_a_key_and_for_nothing_else() {
    let nodes = nodes(82, SETTINGS, &["iad"]).await;
    let client = &nodes[0].1;
    for (key, query, expected) in [
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
        (Some("the-operators"), "profile=none", StatusCode::NOT_FOUND),
        (Some("the-operators"), "", StatusCode::BAD_REQUEST),
        (Some("the-operators"), "profile=q", StatusCode::OK),
    ] {
        let mut request = Request::post(format!("/events/ticket?{query}"));
        if let Some(key) = key {
            request = request.header("X-Api-Key", key);
        }
        let answered = client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answered.status, expected, "{key:?} {query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_ask_proxies_to_hand_them_on_at_once() {
    let nodes = nodes(83, SETTINGS, &["iad"]).await;
    let response = nodes[0]
        .1
        .watching(Some("the-operators"), "profile=p")
        .await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/event-stream"
    );
}

/// Status and headers of the answer to a request of this method with these headers.
async fn asked(
    client: &Client,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if method == "POST" {
        call(1, "eth_chainId")
    } else {
        String::new()
    };
    let answered = client.send(request.body(body.into()).unwrap()).await;
    (answered.status, answered.headers, answered.body)
}

#[tokio::test(start_paused = true)]
async fn a_page_of_an_origin_that_is_named_may_ask_and_no_other() {
    let (client, _heard) = Client::start(&format!("{SETTINGS}{PAGES}"), "iad");
    let (ours, others) = (
        ("Origin", "https://app.example.org"),
        ("Origin", "https://evil.net"),
    );
    let first = ("Access-Control-Request-Method", "POST");
    let (status, headers, _) = asked(&client, "OPTIONS", "/rpc/p/eth", &[ours, first]).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], ours.1);
    let allowed = headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str();
    assert!(allowed.unwrap().contains("x-api-key"));
    for (path, status) in [
        ("/rpc/p/eth", StatusCode::OK),
        ("/rpc/p/none", StatusCode::NOT_FOUND),
    ] {
        let (answered, headers, _) = asked(&client, "POST", path, &[ours]).await;
        assert_eq!(answered, status);
        assert_eq!(headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], ours.1);
        assert_eq!(headers[header::VARY], "origin");
    }
    let (status, headers, _) = asked(&client, "OPTIONS", "/rpc/p/eth", &[others, first]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    let (status, headers, _) = asked(&client, "POST", "/rpc/p/eth", &[others]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    // Where nothing is configured, no page of another origin may.
    let (client, _heard) = Client::start(SETTINGS, "iad");
    let (status, headers, _) = asked(&client, "POST", "/rpc/p/eth", &[ours]).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(!headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    // The node's own pages may.
    let own = [
        ("Host", "localhost:4000"),
        ("Origin", "http://localhost:4000"),
    ];
    let (status, ..) = asked(&client, "POST", "/rpc/p/eth", &own).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_request_for_another_host_is_refused_but_for_probes() {
    let (client, heard) = Client::start(&format!("{SETTINGS}{PAGES}"), "iad");
    for host in ["127.0.0.1:4000", "localhost:4000", "rpc.example.org"] {
        let (status, ..) = asked(&client, "POST", "/rpc/p/eth", &[("Host", host)]).await;
        assert_eq!(status, StatusCode::OK, "{host}");
        heard.finished();
    }
    let evil = ("Host", "evil.net:4000");
    for path in ["/rpc/p/eth", "/api/node", "/health"] {
        let (status, _, body) = asked(&client, "POST", path, &[evil]).await;
        assert_eq!(status, StatusCode::MISDIRECTED_REQUEST, "{path}");
        let error = body["error"].as_str().unwrap();
        assert!(error.contains("`web.hosts`") && !error.contains("evil"));
    }
    // This router has no probes: they are not found, and not refused.
    let (status, ..) = asked(&client, "GET", "/livez", &[evil]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
