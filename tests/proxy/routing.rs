//! Where requests go, in simulated time.

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::join_all;
use lasso::events::CircuitState;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{Client, Heard, call};
use crate::proxy::report::{Finished, Report, Sink};

/// Two providers that take exactly 100 and 200 ms, by priority.
const STEADY: &str = r#"
[profiles.p]
strategy = "priority"
[profiles.p.chains.eth]
chain_id = 7
[[profiles.p.chains.eth.providers]]
name = "a"
simulated = { latency = "100ms", jitter = 0.0, regions = { sjc = { error_rate = 1.0 } } }
[[profiles.p.chains.eth.providers]]
name = "b"
simulated = { latency = "200ms", jitter = 0.0 }
"#;

fn providers(finished: &Finished) -> Vec<(&str, bool)> {
    let tries = finished.tries.iter();
    tries
        .map(|tried| (tried.provider.as_str(), tried.success))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_by_the_first_provider_and_told_of() {
    let (client, heard) = Client::start(STEADY, "iad");
    let began = Instant::now();
    let body = client.ask("p/eth", "eth_chainId").await;
    assert_eq!(body, json!({ "jsonrpc": "2.0", "id": 1, "result": "0x7" }));
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    let finished = heard.finished();
    assert_eq!(providers(&finished), [("a", true)]);
    assert_eq!(finished.duration(), Duration::from_millis(100));
    assert_eq!(
        (finished.method.as_str(), finished.success),
        ("eth_chainId", true)
    );
}

#[tokio::test(start_paused = true)]
async fn what_one_provider_fails_another_answers_until_the_circuit_opens() {
    let (client, heard) = Client::start(STEADY, "sjc");
    for _ in 0..5 {
        assert_eq!(client.ask("p/eth", "eth_chainId").await["result"], "0x7");
        assert_eq!(providers(&heard.finished()), [("a", false), ("b", true)]);
    }
    client.ask("p/eth", "eth_chainId").await;
    assert_eq!(providers(&heard.finished()), [("b", true)]);
}

#[tokio::test(start_paused = true)]
async fn a_circuit_that_opens_is_told_of_and_all_are_told_again_and_again() {
    let (client, heard) = Client::start(STEADY, "sjc");
    let circuits = |heard: &Heard, number: usize| -> Vec<(String, CircuitState)> {
        let circuit = |report| match report {
            Report::Circuit(_, news) => Some((news.provider.to_string(), news.change.state)),
            _ => None,
        };
        (0..number).map(|_| heard.next(circuit)).collect()
    };
    let state = |provider: &str, state| (provider.to_owned(), state);
    tokio::task::yield_now().await;
    for number in 0..5 {
        let body = call(1, "eth_chainId");
        client.post_from(number % 2, "p/eth", body).await;
    }
    let closed = CircuitState::Closed;
    assert_eq!(
        circuits(&heard, 2),
        [state("a", closed), state("b", closed)]
    );
    assert_eq!(circuits(&heard, 1), [state("a", CircuitState::Open)]);
    tokio::time::sleep(Duration::from_secs(120)).await;
    let again = [state("a", CircuitState::Open), state("b", closed)];
    assert_eq!(circuits(&heard, 2), again);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_in_order_at_once_and_without_its_notifications() {
    let (client, heard) = Client::start(STEADY, "iad");
    let notification = r#"{"jsonrpc":"2.0","method":"eth_call"}"#;
    let batch = format!(
        "[{},{notification},7,{}]",
        call(1, "eth_chainId"),
        call(2, "eth_nonsense")
    );
    let began = Instant::now();
    let answered = client.post("p/eth", batch).await;
    assert_eq!(began.elapsed(), Duration::from_millis(100));
    let codes: Vec<_> = answered.body.as_array().unwrap().iter().collect();
    assert_eq!(codes.len(), 3);
    assert_eq!(
        (&codes[0]["id"], &codes[0]["result"]),
        (&json!(1), &json!("0x7"))
    );
    assert_eq!(
        (&codes[1]["id"], &codes[1]["error"]["code"]),
        (&Value::Null, &json!(-32600))
    );
    assert_eq!(
        (&codes[2]["id"], &codes[2]["error"]["code"]),
        (&json!(2), &json!(-32601))
    );
    (0..3).for_each(|_| assert!(heard.finished().success, "a client's error is no failure"));
    let answered = client.post("p/eth", notification).await;
    assert_eq!(
        (answered.status, answered.body),
        (StatusCode::NO_CONTENT, Value::Null)
    );
    assert_eq!(heard.finished().method.as_str(), "eth_call");
}

#[tokio::test(start_paused = true)]
async fn where_nobody_answers_the_error_says_so_and_whom_to_ask_when() {
    let broken = STEADY.replace("latency = \"200ms\"", "error_rate = 1.0");
    let (client, heard) = Client::start(&broken, "sjc");
    let body = client.ask("p/eth", "eth_call").await;
    let message = body["error"]["message"].as_str().unwrap();
    let failed_last = heard.finished().error_category.unwrap();
    assert!(message.contains("2 tried"), "{body}");
    assert_ne!(failed_last.as_str(), "client error");
    for _ in 0..4 {
        client.ask("p/eth", "eth_call").await;
        assert!(!heard.finished().success);
    }
    let body = client.ask("p/eth", "eth_call").await;
    assert_eq!(body["error"]["code"], -32002);
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("may be asked now; try again in"),
        "{message}"
    );
    assert_eq!(
        heard.finished().error_category.unwrap().as_str(),
        "no provider"
    );
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_costs_the_time_of_one_try() {
    let (client, heard) = Client::start(&STEADY.replace("100ms", "10s"), "iad");
    let began = Instant::now();
    assert_eq!(client.ask("p/eth", "eth_chainId").await["result"], "0x7");
    assert_eq!(began.elapsed(), Duration::from_millis(3_200));
    let tried = heard.finished();
    assert_eq!(providers(&tried), [("a", false), ("b", true)]);
    assert_eq!(tried.tries[0].latency, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_has_had_enough_is_left_alone_for_as_long_as_it_asks() {
    let limited = STEADY.replace("regions", "rate_limit = 1, regions");
    let (client, heard) = Client::start(&limited, "iad");
    let tried = |heard: &Heard| {
        let tries = heard.finished().tries;
        tries
            .iter()
            .map(|tried| tried.provider.to_string())
            .collect::<Vec<_>>()
    };
    client.ask("p/eth", "eth_call").await;
    assert_eq!(tried(&heard), ["a"]);
    client.ask("p/eth", "eth_call").await;
    assert_eq!(tried(&heard), ["a", "b"]);
    client.ask("p/eth", "eth_call").await;
    assert_eq!(tried(&heard), ["b"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.ask("p/eth", "eth_call").await;
    assert_eq!(tried(&heard), ["a"]);
}

/// A cluster that takes one report in, and nothing more, ever.
struct Frozen(Receiver<()>);

impl Sink for Frozen {
    fn take(&mut self, _: u64, _: Report) {
        let _ = self.0.recv();
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_cluster_that_is_frozen_requests_are_served_as_fast() {
    let (_held, never) = channel();
    let client = Client::with(STEADY, "iad", Frozen(never));
    // More than find room to wait for the cluster.
    for _ in 0..100 {
        let began = Instant::now();
        let asked = (0..100).map(|_| client.ask("p/eth", "eth_chainId"));
        let answers = join_all(asked).await;
        assert!(answers.iter().all(|body| body["result"] == "0x7"));
        assert_eq!(began.elapsed(), Duration::from_millis(100));
    }
}
