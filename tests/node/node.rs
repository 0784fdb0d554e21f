use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Command;

use serde_json::Value;

use crate::support::{COOKIE, Running, address, free_port, get, node, output};

/// A node at `ip`, with its logs as JSON.
fn one(ip: Ipv4Addr) -> Command {
    let mut command = node(&["--log-format", "json"]);
    command
        .env("CLUSTER_NODE_BASENAME", "lasso")
        .env("CLUSTER_NODE_IP", ip.to_string())
        .env("HTTP_BIND", ip.to_string())
        .env("RELEASE_COOKIE", COOKIE);
    command
}

/// A node that dials `peer`.
fn one_of_two(ip: Ipv4Addr, peer: Ipv4Addr) -> Command {
    let mut command = one(ip);
    command
        .env("CLUSTER_PEERS", format!("lasso@{peer}"))
        .env("EXPECTED_NODE_COUNT", "2");
    command
}

/// What a node answers to `/health`.
fn health(ip: Ipv4Addr) -> Value {
    let answer = get(SocketAddr::from((ip, 4000)), "/health");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains(COOKIE));
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap()
}

#[test]
fn three_nodes_started_by_hand_find_each_other_by_dns() {
    let ips = [1, 2, 3].map(|node| address(4, node));
    let names = format!("lasso.internal={},{},{}", ips[0], ips[1], ips[2]);
    let mut dns = Running::start(node(&["dns", "--listen", "127.0.0.1:0", &names]));
    let line = dns.line(&["CLUSTER_DNS_SERVER="]);
    let (variable, server) = line.split_once('=').unwrap();
    let mut nodes = ips.map(|ip| {
        let mut command = one(ip);
        command
            .env(variable, server)
            .env("CLUSTER_DNS_QUERY", "lasso.internal")
            .env("EXPECTED_NODE_COUNT", "3");
        Running::start(command)
    });
    for node in &mut nodes {
        node.line(&["health_update", "\"3/3\""]);
    }
    for ip in ips {
        let health = health(ip);
        assert_eq!(health["cluster"]["nodes_total"], 3);
        assert_eq!(health["cluster"]["coverage"]["responding"], 3);
        assert_eq!(health["cluster"]["discovery"][0]["query"], "lasso.internal");
    }
}

#[test]
fn a_node_that_gets_sigterm_says_goodbye_and_exits_0() {
    let ips = [address(1, 1), address(1, 2)];
    let mut first = Running::start(one_of_two(ips[0], ips[1]));
    let mut second = Running::start(one_of_two(ips[1], ips[0]));
    for node in [&mut first, &mut second] {
        node.line(&["health_update", "\"ready\""]);
    }
    second.signal("-TERM");
    let (status, text) = second.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    let line = first.line(&["node_disconnected"]);
    let event: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["peer"], format!("lasso@{}", ips[1]));
    assert_eq!(event["reason"], "left");
    assert_eq!(event["coverage"], "1/2");
    first.signal("-INT");
    let (status, text) = first.finish();
    assert_eq!(status.code(), Some(0), "{text}");
    assert!(!text.contains(COOKIE));
}

#[test]
fn health_is_answered_over_http() {
    let ips = [address(2, 1), address(2, 2)];
    let mut nodes = [(0, 1), (1, 0)].map(|(a, b)| Running::start(one_of_two(ips[a], ips[b])));
    for node in &mut nodes {
        node.line(&["health_update", "\"ready\""]);
    }
    let health = health(ips[0]);
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["node"]["name"], format!("lasso@{}", ips[0]));
    assert_eq!(health["cluster"]["nodes"][0]["state"], "ready");
    assert_eq!(health["cluster"]["coverage"]["responding"], 2);
    let http = SocketAddr::from((ips[0], 4000));
    for path in ["/livez", "/readyz"] {
        let answer = get(http, path);
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[test]
fn a_taken_port_is_named_and_nothing_runs() {
    let ip = address(3, 1);
    let (links, http) = (free_port(ip), free_port(ip));
    for (taken, variable) in [(links, "CLUSTER_PORT"), (http, "HTTP_PORT")] {
        let _holder = TcpListener::bind((ip, taken)).unwrap();
        let mut command = one_of_two(ip, address(3, 2));
        command
            .env("CLUSTER_PORT", links.to_string())
            .env("HTTP_PORT", http.to_string());
        let (status, _, err) = output(command);
        assert_eq!(status.code(), Some(1), "{variable}: {err}");
        let address = format!("{ip}:{taken}");
        assert!(err.contains(&address) && err.contains("taken"), "{err}");
    }
}
