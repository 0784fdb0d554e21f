//! Providers at URLs, over loopback.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http_body_util::BodyExt;
use lasso::events::CircuitState;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket};

use crate::client::{Client, Heard, call};
use crate::proxy::report::Report;

/// A provider that answers like this.
async fn provider<F: Fn(Value) -> Response + Clone + Send + Sync + 'static>(
    answer: F,
) -> SocketAddr {
    provider_that(move |request| std::future::ready(answer(request))).await
}

/// A provider that takes its time.
async fn provider_that<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Value) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response> + Send,
{
    let answer = move |body: Bytes| {
        let answer = answer.clone();
        async move {
            let request: Value = serde_json::from_slice(&body).expect("a request");
            let id = request["id"].clone();
            with_id(id, answer(request).await).await
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/key", post(answer));
    let limits = lasso::http::Limits {
        connections: 1_000,
        connections_per_address: 1_000,
        ..lasso::http::Limits::default()
    };
    tokio::spawn(async move {
        lasso::http::serve_with(listener, router, limits, std::future::pending()).await;
    });
    address
}

/// The same answer, to the request of this id where it says 1.
async fn with_id(id: Value, answer: Response) -> Response {
    let json = header::HeaderValue::from_static("application/json");
    if answer.headers().get(header::CONTENT_TYPE) != Some(&json) {
        return answer;
    }
    let body = answer.into_body().collect().await.expect("a body");
    let mut body: Value = serde_json::from_slice(&body.to_bytes()).expect("JSON");
    if body["id"] == 1 {
        body["id"] = id;
    }
    axum::Json(body).into_response()
}

fn result(result: &Value) -> Response {
    axum::Json(json!({ "jsonrpc": "2.0", "id": 1, "result": result })).into_response()
}

fn settings(providers: &[SocketAddr]) -> String {
    let mut text = "[profiles.p]\nstrategy = \"priority\"\n[profiles.p.chains.eth]\n".to_owned();
    for address in providers {
        text += &format!(
            "[[profiles.p.chains.eth.providers]]\nname = \"{address}\"\nurl = \"http://{address}/v1/key\"\n"
        );
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_reaches_a_provider_with_its_words_and_comes_back_with_the_answers() {
    let echo = provider(|request| {
        assert_eq!(request["jsonrpc"], "2.0");
        match request["method"].as_str() {
            Some("eth_blockNumber") => result(&json!("0x10")),
            _ => result(&request["params"]),
        }
    });
    let (client, heard) = Client::start(&settings(&[echo.await]), "iad");
    let body = r#"{"jsonrpc":"2.0","id":9,"method":"eth_call","params":[1.5,{"a":null}]}"#;
    let answered = client.post("p/eth", body).await;
    assert_eq!(
        answered.body,
        json!({ "jsonrpc": "2.0", "id": 9, "result": [1.5, { "a": null }] })
    );
    let height = heard.next(|report| match report {
        Report::Height(_, height) => Some((height.height, height.consensus, height.lag)),
        _ => None,
    });
    assert_eq!(height, (16, Some(16), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_to_fail_leads_to_the_next_provider_and_is_told_by_its_name() {
    // Bound and not listening: connects are refused, and nobody else gets the port.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = deaf.local_addr().unwrap();
    let good = provider(|_| result(&json!("good"))).await;
    let limited = || {
        (
            StatusCode::TOO_MANY_REQUESTS,
            [(header::RETRY_AFTER, "30")],
            "",
        )
            .into_response()
    };
    let status = provider(|_| StatusCode::BAD_GATEWAY.into_response()).await;
    let limited = provider(move |_| limited()).await;
    let garbage = provider(|_| "<html>".into_response()).await;
    let internal = provider(|_| {
        axum::Json(json!({ "id": 1, "error": { "code": -32603, "message": "no" } })).into_response()
    });
    let internal = internal.await;
    for (bad, category) in [
        (closed, "unreachable"),
        (status, "http error"),
        (limited, "rate limited"),
        (garbage, "malformed answer"),
        (internal, "internal error"),
    ] {
        let (client, _heard) = Client::start(&settings(&[bad, good]), "iad");
        assert_eq!(
            client.ask("p/eth", "eth_call").await["result"],
            "good",
            "{category}"
        );
        let (client, heard) = Client::start(&settings(&[bad]), "iad");
        let body = client.ask("p/eth", "eth_call").await;
        assert!(body["error"]["code"].is_i64(), "{category}: {body}");
        let told = heard.finished().error_category;
        assert_eq!(told.unwrap().as_str(), category);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_providers_own_error_is_handed_on_as_it_is() {
    let error = json!({ "code": 3, "message": "execution reverted", "data": "0x08c379a0" });
    let reverting = {
        let error = error.clone();
        provider(move |_| axum::Json(json!({ "id": 1, "error": error })).into_response())
    };
    let (client, _heard) = Client::start(&settings(&[reverting.await]), "iad");
    assert_eq!(client.ask("p/eth", "eth_call").await["error"], error);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_for_too_much_keeps_nobody_else_from_a_provider() {
    let picky = || {
        provider(|request| {
            let error = json!({ "code": -32005, "message": "more than 10000 results" });
            match request["method"].as_str() {
                Some("eth_getLogs") => result(&json!("x".repeat(3 << 20))),
                Some("eth_call") => axum::Json(json!({ "id": 1, "error": error })).into_response(),
                _ => result(&json!("good")),
            }
        })
    };
    let providers = [picky().await, picky().await];
    let (client, heard) = Client::start(&settings(&providers), "iad");
    for _ in 0..10 {
        let too_large = client.ask("p/eth", "eth_getLogs").await;
        assert_eq!(too_large["error"]["code"], -32005);
        let told = heard.finished();
        assert_eq!(told.tries.len(), 1, "it would be as large at the next one");
        assert_eq!(told.error_category.unwrap().as_str(), "answer too large");
        let declined = client.ask("p/eth", "eth_call").await;
        assert_eq!(declined["error"]["message"], "more than 10000 results");
        assert_eq!(heard.finished().tries.len(), 2);
    }
    assert_eq!(client.ask("p/eth", "eth_chainId").await["result"], "good");
    let told = heard.finished();
    assert_eq!(told.tries[0].provider.as_str(), providers[0].to_string());
}

/// Says that it failed when it is asked for one of these, and answers all else.
async fn failing(methods: &'static [&'static str]) -> SocketAddr {
    provider(move |request| {
        let method = request["method"].as_str().unwrap_or_default();
        if method == "eth_blockNumber" {
            return result(&json!("0x10"));
        }
        if !methods.contains(&method) {
            return result(&json!("good"));
        }
        let error = json!({ "code": -32603, "message": "no" });
        axum::Json(json!({ "id": 1, "error": error })).into_response()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_client_asks_that_no_provider_can_do_opens_no_circuit() {
    let odd = &["eth_call"];
    let providers = [failing(odd).await, failing(odd).await];
    let (client, heard) = Client::start(&settings(&providers), "iad");
    for _ in 0..20 {
        let failed = client.ask("p/eth", "eth_call").await;
        assert_eq!(failed["error"]["code"], -32603);
        let told = heard.finished();
        assert_eq!(told.tries.len(), 2, "another one might do better");
        assert_eq!(told.error_category.unwrap().as_str(), "internal error");
    }
    assert_eq!(client.ask("p/eth", "eth_chainId").await["result"], "good");
    let told = heard.finished();
    assert_eq!(told.tries.len(), 1);
    assert_eq!(told.tries[0].provider.as_str(), providers[0].to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_what_another_does_is_left_alone_after_enough_of_it() {
    let providers = [failing(&["eth_call"]).await, failing(&[]).await];
    let (client, heard) = Client::start(&settings(&providers), "iad");
    for _ in 0..5 {
        assert_eq!(client.ask("p/eth", "eth_call").await["result"], "good");
        assert_eq!(heard.finished().tries.len(), 2);
    }
    assert_eq!(client.ask("p/eth", "eth_chainId").await["result"], "good");
    let told = heard.finished();
    assert_eq!(told.tries.len(), 1);
    assert_eq!(told.tries[0].provider.as_str(), providers[1].to_string());
}

/// Does everything but `eth_call`, which it answers like this.
async fn refusing(answer: fn() -> Response) -> SocketAddr {
    provider(move |request| match request["method"].as_str() {
        Some("eth_blockNumber") => result(&json!("0x10")),
        Some("eth_call") => answer(),
        _ => result(&json!("good")),
    })
    .await
}

/// A name, and an answer.
type Way = (&'static str, fn() -> Response);

/// Each way in which a provider fails one client's request that another provider does.
const FAILS: [Way; 9] = [
    ("400", || StatusCode::BAD_REQUEST.into_response()),
    ("403", || StatusCode::FORBIDDEN.into_response()),
    ("413", || StatusCode::PAYLOAD_TOO_LARGE.into_response()),
    ("503", || StatusCode::SERVICE_UNAVAILABLE.into_response()),
    ("429", || {
        let wait = [(header::RETRY_AFTER, "30")];
        (StatusCode::TOO_MANY_REQUESTS, wait).into_response()
    }),
    ("a code that is a text", || {
        let error = json!({ "code": "-32603", "message": "no" });
        axum::Json(json!({ "id": 1, "error": error })).into_response()
    }),
    ("a message that is null", || {
        let error = json!({ "code": -32603, "message": null });
        axum::Json(json!({ "id": 1, "error": error })).into_response()
    }),
    ("no JSON", || "<html>".into_response()),
    ("a close", || {
        let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("no"))]);
        axum::body::Body::from_stream(broken).into_response()
    }),
];

fn batch(number: u64) -> String {
    let calls: Vec<String> = (0..number).map(|id| call(id, "eth_call")).collect();
    format!("[{}]", calls.join(","))
}

/// Asked from 10.0.0.`from`: which provider has answered.
async fn served(client: &Client, heard: &Heard, from: u8, method: &str) -> String {
    let answered = client.post_from(from, "p/eth", call(1, method)).await;
    assert_eq!(answered.body["result"], "good", "{}", answered.body);
    let tries = heard.finished().tries;
    tries.last().expect("a provider").provider.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_client_shuts_no_provider_for_others_however_it_fails() {
    for (how, answer) in FAILS {
        let bad = refusing(answer).await;
        let providers = [bad, refusing(|| result(&json!("good"))).await];
        let (client, heard) = Client::start(&settings(&providers), "iad");
        let answered = client.post_from(1, "p/eth", batch(100)).await;
        let done = answered.body.as_array().unwrap().iter();
        assert_eq!(done.filter(|one| one["result"] == "good").count(), 100);
        (0..100).for_each(|_| drop(heard.finished()));
        // It has been led elsewhere by its own failures, and nobody else has.
        let (first, second) = (providers[0].to_string(), providers[1].to_string());
        assert_eq!(
            served(&client, &heard, 2, "eth_chainId").await,
            first,
            "{how}"
        );
        assert_eq!(
            served(&client, &heard, 1, "eth_chainId").await,
            second,
            "{how}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_no_provider_can_do_shuts_none_for_others() {
    for (how, answer) in FAILS {
        let providers = [refusing(answer).await, refusing(answer).await];
        let (client, heard) = Client::start(&settings(&providers), "iad");
        client.post_from(1, "p/eth", batch(100)).await;
        (0..100).for_each(|_| drop(heard.finished()));
        let first = providers[0].to_string();
        assert_eq!(
            served(&client, &heard, 2, "eth_chainId").await,
            first,
            "{how}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_to_one_client_shut_no_provider_for_others() {
    let slow = |text: &str| format!("[limits]\ntry_timeout = \"50ms\"\n{text}");
    let asleep = provider_that(|request| async move {
        if request["method"] == "eth_call" {
            std::future::pending::<()>().await;
        }
        result(&json!("good"))
    })
    .await;
    let providers = [asleep, refusing(|| result(&json!("good"))).await];
    let (client, heard) = Client::start(&slow(&settings(&providers)), "iad");
    client.post_from(1, "p/eth", batch(20)).await;
    (0..20).for_each(|_| drop(heard.finished()));
    let first = providers[0].to_string();
    assert_eq!(served(&client, &heard, 2, "eth_chainId").await, first);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_several_clients_and_works_elsewhere_shuts_a_provider_for_all() {
    for (how, answer) in FAILS.into_iter().filter(|(how, _)| *how != "429") {
        let providers = [
            refusing(answer).await,
            refusing(|| result(&json!("good"))).await,
        ];
        let (client, heard) = Client::start(&settings(&providers), "iad");
        for from in [1, 1, 1, 2, 2] {
            served(&client, &heard, from, "eth_call").await;
        }
        let second = providers[1].to_string();
        assert_eq!(
            served(&client, &heard, 3, "eth_chainId").await,
            second,
            "{how}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_gone_is_left_alone_for_one_client_and_the_proxys_own_word() {
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let providers = [
        deaf.local_addr().unwrap(),
        refusing(|| result(&json!("good"))).await,
    ];
    let settings = format!("height_interval = \"10ms\"\n{}", settings(&providers));
    let (client, heard) = Client::start(&settings, "iad");
    for _ in 0..5 {
        served(&client, &heard, 1, "eth_call").await;
    }
    let opened = heard.next(|report| match report {
        Report::Circuit(_, news) if news.change.state == CircuitState::Open => Some(news.provider),
        _ => None,
    });
    assert_eq!(opened.as_str(), providers[0].to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_another_request_is_refused_and_the_next_provider_asked() {
    let another = refusing(|| {
        axum::Json(json!({ "jsonrpc": "2.0", "id": 999_999, "result": "another's" }))
            .into_response()
    });
    let providers = [another.await, refusing(|| result(&json!("good"))).await];
    let (client, heard) = Client::start(&settings(&providers), "iad");
    let second = providers[1].to_string();
    assert_eq!(served(&client, &heard, 1, "eth_call").await, second);
    let (client, heard) = Client::start(&settings(&providers[..1]), "iad");
    let body = client.ask("p/eth", "eth_call").await;
    assert!(!body.to_string().contains("another's"), "{body}");
    let told = heard.finished().error_category;
    assert_eq!(told.unwrap().as_str(), "malformed answer");
}

/// Answers one request on each connection, and keeps it; one that had an `eth_call` it closes when `close`
/// says so, and then tells `closed`.
fn closing(close: Receiver<()>, closed: Sender<()>) -> SocketAddr {
    let close = Arc::new(Mutex::new(close));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |mut stream: TcpStream, closed: Sender<()>| {
        let mut text = Vec::new();
        let request = loop {
            let mut part = [0; 4_096];
            let read = stream.read(&mut part).unwrap_or_default();
            if read == 0 {
                return;
            }
            text.extend_from_slice(&part[..read]);
            let body = text.iter().position(|byte| *byte == b'{');
            let body = body.map(|from| serde_json::from_slice::<Value>(&text[from..]));
            if let Some(Ok(request)) = body {
                break request;
            }
        };
        let body = json!({ "jsonrpc": "2.0", "id": request["id"], "result": "0x10" }).to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
        if request["method"] != "eth_call" || close.lock().recv().is_err() {
            return;
        }
        drop(stream);
        let _ = closed.send(());
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (answer, closed) = (answer.clone(), closed.clone());
            std::thread::spawn(move || answer(stream.unwrap(), closed));
        }
    });
    address
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_is_replaced_before_the_request_is_sent() {
    let ((close, to_close), (tell, closed)) = (channel(), channel());
    let provider = closing(to_close, tell);
    let (client, heard) = Client::start(&settings(&[provider]), "iad");
    for _ in 0..20 {
        let answer = client.ask("p/eth", "eth_call").await;
        assert_eq!(answer["result"], "0x10");
        assert_eq!(heard.finished().tries.len(), 1);
        // Until the connection is kept.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        // The thread stands still until it is closed, so that nobody here has noticed.
        close.send(()).unwrap();
        closed.recv_timeout(Duration::from_secs(40)).unwrap();
    }
}

/// Counts the requests that it reads, and closes each connection after its second one, without an answer.
fn forgetful(read: Arc<AtomicU64>) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, read) = (stream.unwrap(), read.clone());
            std::thread::spawn(move || {
                for number in 0..2 {
                    let mut text = [0; 4_096];
                    let length = stream.read(&mut text).unwrap_or_default();
                    let Some(from) = text[..length].iter().position(|byte| *byte == b'{') else {
                        return;
                    };
                    let request: Value = serde_json::from_slice(&text[from..length]).unwrap();
                    read.fetch_add(
                        u64::from(request["method"] == "eth_call"),
                        Ordering::Relaxed,
                    );
                    if number == 0 {
                        let body = json!({ "id": request["id"], "result": "0x10" }).to_string();
                        let length = body.len();
                        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                        stream.write_all((head + &body).as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_request_that_was_sent_is_not_sent_to_the_same_provider_again() {
    let read = Arc::new(AtomicU64::new(0));
    let (client, heard) = Client::start(&settings(&[forgetful(read.clone())]), "iad");
    for _ in 0..4 {
        client.ask("p/eth", "eth_call").await;
        assert_eq!(heard.finished().tries.len(), 1);
    }
    assert_eq!(read.load(Ordering::Relaxed), 4);
}
