//! Providers at URLs, over loopback.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use lasso::events::CircuitState;
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
        async move { answer(serde_json::from_slice(&body).expect("a request")).await }
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

/// Each way in which a provider fails one client's request that another provider does.
const FAILS: [(&str, fn() -> Response); 9] = [
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
