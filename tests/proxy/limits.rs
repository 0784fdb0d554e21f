//! What clients cannot do.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answered, Client, call};

const SETTINGS: &str = r#"
operator_key = "the-operators"
[limits]
body_bytes = 1000
batch = 4
in_flight = 8
in_flight_per_account = 5
[[keys]]
key = "the-key-of-acme"
profile = "p"
account = "acme"
[profiles.p.chains.eth]
[[profiles.p.chains.eth.providers]]
name = "a"
simulated = { latency = "100ms", jitter = 0.0 }
[profiles.q.chains.eth]
[[profiles.q.chains.eth.providers]]
name = "a"
simulated = { latency = "100ms", jitter = 0.0 }
"#;

fn start() -> Client {
    Client::start(SETTINGS, "iad").0
}

fn assert_refused(answered: &Answered, status: StatusCode, code: i64) {
    assert_eq!(answered.status, status, "{}", answered.body);
    assert_eq!(answered.body["error"]["code"], code, "{}", answered.body);
    assert_eq!(answered.body["jsonrpc"], "2.0");
    let busy = status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE;
    assert_eq!(answered.headers.contains_key("retry-after"), busy);
}

fn batch(length: u64) -> String {
    let calls: Vec<String> = (0..length).map(|id| call(id, "eth_call")).collect();
    format!("[{}]", calls.join(","))
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_not_of_this_profile_is_refused_and_none_is_nobodys() {
    let client = start();
    for (key, path, status) in [
        ("the-key-of-acme", "p/eth", StatusCode::OK),
        ("the-operators", "q/eth", StatusCode::OK),
        ("the-key-of-acme", "q/eth", StatusCode::UNAUTHORIZED),
        ("any-other-key", "p/eth", StatusCode::UNAUTHORIZED),
    ] {
        let answered = client.post_as(key, path, call(1, "eth_call")).await;
        assert_eq!(answered.status, status, "{key} {path}");
        if status == StatusCode::UNAUTHORIZED {
            assert_refused(&answered, status, -32000);
        }
    }
    assert!(client.ask("p/eth", "eth_call").await["result"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_profile_or_chain_that_is_not_there_is_not_found() {
    let client = start();
    for path in [
        "p/none",
        "none/eth",
        "p/a%3Ab",
        "p/%00",
        "p/%ff",
        &"x".repeat(500),
    ] {
        let answered = client.post(path, call(1, "eth_call")).await;
        assert_eq!(answered.status, StatusCode::NOT_FOUND, "{path}");
        // One with a part too few is no route at all.
        if path.contains('/') {
            assert_refused(&answered, StatusCode::NOT_FOUND, -32001);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_what_there_is_not_is_told_what_there_is() {
    let client = start();
    for (method, path, status) in [
        ("GET", "/", StatusCode::NOT_FOUND),
        ("POST", "/rpc/p", StatusCode::NOT_FOUND),
        ("GET", "/rpc/p/eth", StatusCode::METHOD_NOT_ALLOWED),
        ("DELETE", "/api/node", StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let request = Request::builder().method(method).uri(path);
        let answered = client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answered.status, status, "{method} {path}");
        let error = answered.body["error"].as_str().unwrap();
        assert!(error.contains(path), "{error}");
        let routes = answered.body["routes"].as_array().unwrap();
        assert!(routes.contains(&json!("POST /rpc/{profile}/{chain}")));
        let allow = answered.headers.contains_key("allow");
        assert_eq!(allow, status == StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_node_is_doing_is_told_to_its_operator() {
    let client = start();
    for (key, status) in [
        (None, StatusCode::UNAUTHORIZED),
        (Some("the-key-of-acme"), StatusCode::UNAUTHORIZED),
        (Some("the-operators"), StatusCode::OK),
    ] {
        let request = Request::get("/api/node");
        let request = key
            .into_iter()
            .fold(request, |request, key| request.header("X-Api-Key", key));
        let answered = client.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answered.status, status, "{key:?}");
    }
    let open = SETTINGS.replace("operator_key", "# operator_key");
    let (before, after) = open.split_once("[[keys]]").unwrap();
    let (_, after) = after.split_once("[profiles").unwrap();
    let open = format!("{before}[profiles{after}");
    let (client, _heard) = Client::start(&open, "iad");
    let request = Request::get("/api/node").body(Body::empty()).unwrap();
    assert_eq!(client.send(request).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_too_long_or_no_json_is_refused() {
    let client = start();
    let large = call(1, &"m".repeat(1_000));
    let answered = client.post("p/eth", large).await;
    assert_refused(&answered, StatusCode::PAYLOAD_TOO_LARGE, -32005);
    assert_refused(
        &client.post("p/eth", batch(5)).await,
        StatusCode::OK,
        -32005,
    );
    assert_refused(&client.post("p/eth", "{").await, StatusCode::OK, -32700);
    assert_refused(&client.post("p/eth", "[]").await, StatusCode::OK, -32600);
    let get = Request::get("/rpc/p/eth").body(Body::empty()).unwrap();
    assert_eq!(
        client.send(get).await.status,
        StatusCode::METHOD_NOT_ALLOWED
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_gives_its_place_back_in_time() {
    let client = start();
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let answered = client.post("p/eth", Body::from_stream(never)).await;
    assert_refused(&answered, StatusCode::REQUEST_TIMEOUT, -32600);
    assert_eq!(client.post("p/eth", batch(4)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_are_bounded_for_each_account_and_for_the_node() {
    let client = start();
    let send = |key: Option<&'static str>, body: String| {
        let client = client.clone();
        tokio::spawn(async move {
            match key {
                Some(key) => client.post_as(key, "p/eth", body).await,
                None => client.post("p/eth", body).await,
            }
        })
    };
    let acme = Some("the-key-of-acme");
    let (own, others) = (send(acme, batch(4)), send(None, batch(3)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let too_many = send(acme, batch(2)).await.unwrap();
    assert_refused(&too_many, StatusCode::TOO_MANY_REQUESTS, -32005);
    let full = send(None, batch(2)).await.unwrap();
    assert_refused(&full, StatusCode::SERVICE_UNAVAILABLE, -32005);
    for answered in [own.await.unwrap(), others.await.unwrap()] {
        assert_eq!(answered.status, StatusCode::OK);
    }
    // Those without a key have taken all that is theirs, and the operator is none of them.
    let (some, one) = (send(None, batch(4)), send(None, batch(1)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let nobody = send(None, batch(1)).await.unwrap();
    assert_refused(&nobody, StatusCode::TOO_MANY_REQUESTS, -32005);
    let operator = send(Some("the-operators"), batch(3)).await.unwrap();
    assert_eq!(operator.status, StatusCode::OK);
    for answered in [some.await.unwrap(), one.await.unwrap()] {
        assert_eq!(answered.status, StatusCode::OK);
    }
    assert_eq!(client.post("p/eth", batch(4)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn clients_that_go_away_leave_no_place_taken() {
    let client = start();
    for _ in 0..20 {
        let asked = client.post("p/eth", batch(4));
        let gone = tokio::time::timeout(Duration::from_millis(10), asked).await;
        assert!(gone.is_err());
    }
    let node = Request::get("/api/node").header("X-Api-Key", "the-operators");
    let node = node.body(Body::empty()).unwrap();
    let mut counts = client.send(node).await.body;
    // A thread takes the reports in its own time.
    let waiting = counts.as_object_mut().unwrap().remove("reports_waiting");
    assert!(waiting.is_some_and(|number| number.is_u64()));
    let http = json!({ "gave_way": 0, "refused": 0, "not_accepted": 0 });
    let expected = json!({
        "under_way": 0, "abandoned": 80, "reports_shed": 0, "witnesses_forgotten": 0,
        "tickets_shed": 0, "http": http
    });
    assert_eq!(counts, expected);
    assert_eq!(client.post("p/eth", batch(4)).await.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn batches_of_every_length_are_answered_and_give_their_places_back() {
    let client = start();
    for length in (1..=4).chain(1..=4) {
        let answered = client.post("p/eth", batch(length)).await;
        let answers = answered.body.as_array().map(Vec::len);
        assert_eq!(answers, Some(length as usize), "{}", answered.body);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_bears_the_id_to_the_letter() {
    let client = start();
    let body = r#"{"jsonrpc":"2.0","id":"\u0041","method":"eth_chainId"}"#;
    let answered = client.post("p/eth", body).await;
    assert_eq!(answered.body["id"], json!("A"));
}

/// A provider whose answers are of 400,000 bytes.
async fn wordy() -> String {
    let answer = |axum::Json(request): axum::Json<Value>| async move {
        let result = "x".repeat(400_000);
        axum::Json(json!({ "jsonrpc": "2.0", "id": request["id"], "result": result }))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = axum::Router::new().fallback(axum::routing::any(answer));
    tokio::spawn(lasso::http::serve(listener, router, std::future::pending()));
    format!(
        "[limits]\nanswer_bytes = 450_000\nbatch = 8\nin_flight = 8\nin_flight_per_account = 8\n[profiles.p.chains.eth]\n\
         [[profiles.p.chains.eth.providers]]\nname = \"a\"\nurl = \"http://{address}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_answered_within_its_bound() {
    let (client, _heard) = Client::start(&wordy().await, "iad");
    let answered = client.post("p/eth", batch(8)).await;
    let answers = answered.body.as_array().unwrap();
    let ids: Vec<_> = answers.iter().map(|answer| answer["id"].as_u64()).collect();
    assert_eq!(ids, (0..8).map(Some).collect::<Vec<_>>());
    let whole = answers.iter().filter(|answer| answer["result"].is_string());
    assert_eq!(whole.count(), 4, "of 1,800,000 bytes");
    assert_eq!(answers[7]["error"]["code"], -32005);
    let length = answered.headers["content-length"].to_str().unwrap();
    assert!(length.parse::<usize>().unwrap() < 1_800_000 + 4 * 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_takes_keeps_its_places() {
    let (client, _heard) = Client::start(&wordy().await, "iad");
    let untaken = client.response("p/eth", batch(8)).await;
    let full = client.post("p/eth", call(1, "eth_call")).await;
    assert_refused(&full, StatusCode::TOO_MANY_REQUESTS, -32005);
    drop(untaken);
    let answered = client.post("p/eth", call(1, "eth_call")).await;
    assert_eq!(answered.status, StatusCode::OK);
}
