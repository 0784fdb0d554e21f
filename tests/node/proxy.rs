use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{COOKIE, Running, address, get, node, output, post};

/// A file with this text, gone when it is dropped.
struct File(PathBuf);

impl File {
    fn new(test: &str, text: &str) -> Self {
        let name = format!("lasso-proxy-{test}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).expect("there is room for a file");
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// The body of an answer with the status 200.
fn body(answer: &str) -> Value {
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").expect("headers end");
    serde_json::from_str(body).expect("JSON")
}

/// A batch of so many calls.
fn batch(number: u64) -> String {
    let call = |id| json!({ "jsonrpc": "2.0", "id": id, "method": "eth_call", "params": [] });
    Value::from((0..number).map(call).collect::<Vec<_>>()).to_string()
}

#[test]
fn calls_at_two_processes_are_one_row_at_a_third() {
    let file = File::new(
        "three",
        r#"
        [[profiles.p.chains.eth.providers]]
        name = "a"
        [profiles.p.chains.eth.providers.simulated]
        latency = "100ms"
        jitter = 0.0
        regions = { sjc = { latency = "200ms" } }
        "#,
    );
    let base = address(21, 1).to_string();
    let mut command = node(&["--local", "3", "--local-base", &base]);
    let mut local = Running::start({
        command.arg("--proxy-config").arg(&file.0);
        command
    });
    local.line(&["the cluster is whole"]);
    let http = |node| SocketAddr::from((address(21, node), 4000));
    for (node, batches) in [(1, 10), (2, 1)] {
        for _ in 0..batches {
            let answers = body(&post(http(node), "/rpc/p/eth", &batch(100)));
            let answers = answers.as_array().expect("a batch").iter();
            assert!(
                answers
                    .map(|answer| &answer["result"])
                    .all(Value::is_string)
            );
        }
    }
    let path = "/api/leaderboard?profile=p&chain=eth&wait=10s";
    let board = body(&get(http(3), path));
    assert_eq!(board["coverage"]["responding"], 3);
    let figures = &board["answer"]["providers"][0]["figures"];
    assert_eq!(figures["calls"], 1_100, "{board}");
    let mean = figures["mean_latency_ms"].as_f64().expect("a number");
    assert_eq!(format!("{mean:.2}"), "109.09");
}

/// A node with a peer where nobody is.
fn without_peers(ip: Ipv4Addr) -> Command {
    let mut command = node(&["--log-format", "json"]);
    command
        .env("CLUSTER_NODE_BASENAME", "lasso")
        .env("CLUSTER_NODE_IP", ip.to_string())
        .env("CLUSTER_PEERS", format!("lasso@{}", address(22, 9)))
        .env("EXPECTED_NODE_COUNT", "2")
        .env("HTTP_BIND", ip.to_string())
        .env("RELEASE_COOKIE", COOKIE);
    command
}

#[test]
fn a_node_whose_peers_are_away_serves_and_says_how_little_it_speaks_for() {
    let ip = address(22, 1);
    let mut alone = Running::start(without_peers(ip));
    alone.line(&["\"up\""]);
    let http = SocketAddr::from((ip, 4000));
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#;
    let answer = body(&post(http, "/rpc/default/ethereum", call));
    assert_eq!(
        answer,
        json!({ "jsonrpc": "2.0", "id": 7, "result": "0x1" })
    );
    let path = "/api/leaderboard?profile=default&chain=ethereum&wait=10s";
    let coverage = &body(&get(http, path))["coverage"];
    assert_eq!(
        (&coverage["responding"], &coverage["total"]),
        (&json!(1), &json!(2))
    );
}

#[test]
fn a_proxy_file_that_is_wrong_stops_the_start_and_the_effective_one_is_shown() {
    let file = File::new(
        "wrong",
        "[[keys]]\nkey = \"the-key-of-nobody\"\nprofile = \"p\"\naccount = \"a\"\n",
    );
    let mut command = node(&["--check-config", "--proxy-config"]);
    command.arg(&file.0);
    let (status, _, err) = output(command);
    assert_eq!(status.code(), Some(78), "{err}");
    for part in ["profiles: there is none", "keys.0.profile"] {
        assert!(err.contains(part), "{err}");
    }
    assert!(!err.contains("the-key-of-nobody"), "{err}");
    let mut command = node(&["--check-config"]);
    command.env("PROXY_OPERATOR_KEY", "the-operators");
    let (status, out, err) = output(command);
    assert!(status.success(), "{err}");
    assert!(
        out.contains("/rpc/default/ethereum: latency-weighted of atlas, borealis, cirrus"),
        "{out}"
    );
    assert!(
        out.contains("(13 bytes)") && !out.contains("the-operators"),
        "{out}"
    );
}
