use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{COOKIE, Running, address, eventually, get, node, output, post};

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
        // A request is answered before the cluster has taken the report of it.
        let reported = || get(http(node), "/api/node").contains("\"reports_waiting\":0");
        eventually("all calls are recorded", reported);
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
        "[[keys]]\nkey = \"the-key-of-nobody\"\nprofile = \"p\"\naccount = \"a\"\n[kees]\n",
    );
    for what in [&["--check-config"][..], &[], &["--local", "2"]] {
        let mut command = node(what);
        command.arg("--proxy-config").arg(&file.0);
        let (status, out, err) = output(command);
        assert_eq!(status.code(), Some(78), "{what:?}: {err}");
        for part in [
            "line 1, profiles: there is none",
            "line 3, keys.0.profile",
            "line 5, kees",
        ] {
            assert!(err.contains(part), "{what:?}: {err}");
        }
        assert!(!err.contains("the-key-of-nobody"), "{err}");
        assert!(out.is_empty(), "nothing was started: {out}");
    }
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

#[test]
fn a_node_that_ends_before_it_is_up_ends_the_local_cluster_with_its_code() {
    let good = "[profiles.p.chains.eth]\nproviders = [{ name = \"a\", simulated = {} }]\n";
    let name = format!("lasso-proxy-pipe-{}", std::process::id());
    let pipe = File(std::env::temp_dir().join(name));
    let made = Command::new("mkfifo").arg(&pipe.0).status();
    assert!(made.expect("there is a mkfifo").success());
    let base = address(23, 1).to_string();
    let mut command = node(&["--local", "2", "--local-base", &base]);
    command.env("PROXY_CONFIG", &pipe.0);
    let mut local = Running::start(command);
    let (go_on, goes_on) = std::sync::mpsc::channel();
    let path = pipe.0.clone();
    // A thread, as whoever writes waits for a reader: so that this is what the parent reads,
    std::thread::spawn(move || {
        fs::write(&path, good).expect("it is read");
        // and that what a node does.
        let () = goes_on.recv().expect("the parent has read");
        fs::write(&path, "profiles = 7").expect("it is read");
    });
    local.line(&["2 nodes"]);
    go_on.send(()).expect("the thread waits");
    let (status, text) = local.finish();
    assert_eq!(status.code(), Some(78), "{text}");
    assert!(text.contains("exit status: 78"), "{text}");
}

#[test]
fn a_local_cluster_says_where_requests_go_and_figures_come_from() {
    let base = address(24, 1).to_string();
    let mut local = Running::start(node(&["--local", "2", "--local-base", &base]));
    let line = local.line(&["requests: POST http://", "/rpc/default/base"]);
    let (_, url) = line.split_once("http://").expect("it was found");
    let (http, path) = url.split_at(url.find('/').expect("it has a path"));
    let call = r#"{"jsonrpc":"2.0","id":7,"method":"eth_chainId"}"#;
    let answer = body(&post(http.parse().expect("an address"), path, call));
    assert_eq!(answer["result"], "0x2105");
    let line = local.line(&["/api/leaderboard"]);
    let (_, url) = line.split_once("http://").expect("it was found");
    let (http, path) = url.split_at(url.find('/').expect("it has a path"));
    let figures = body(&get(http.parse().expect("an address"), path));
    assert_eq!(figures["coverage"]["total"], 2);
}

#[test]
fn the_help_names_what_the_proxy_is_told_by_the_environment() {
    let (status, out, _) = output(node(&["--help"]));
    assert!(status.success());
    for name in ["PROXY_CONFIG", "PROXY_OPERATOR_KEY"] {
        assert!(out.contains(name), "{out}");
    }
}
