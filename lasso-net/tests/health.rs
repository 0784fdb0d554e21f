//! Nodes that find each other by DNS, and what they answer over HTTP, all on loopback.

#![cfg(feature = "http")]

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lasso_net::responder::{Answer, Responder};
use lasso_net::{Cluster, http};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const COOKIE: &str = "a secret of at least thirty-two bytes";
const SOON: Duration = Duration::from_secs(20);

/// An address of the loopback network that no other test uses.
fn ip(host: u8) -> IpAddr {
    IpAddr::from([127, 0, 32, host])
}

/// A node with its HTTP address, which ends with the test.
async fn start(host: u8, query: &str, dns: &Responder) -> (Cluster, SocketAddr) {
    let cluster = Cluster::builder()
        .name(&format!("app@{}", ip(host)))
        .cookie(COOKIE)
        .query(query)
        .dns_server(dns.local_addr())
        .expected_nodes(2)
        .start()
        .await
        .expect("it starts");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = http::router(cluster.clone());
    tokio::spawn(http::serve(listener, router, std::future::pending()));
    (cluster, address)
}

async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.contains(COOKIE), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

async fn health(address: SocketAddr) -> (u16, Value) {
    let (status, body) = get(address, "/health").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn nodes_that_dns_names_find_each_other_and_say_so() {
    let dns = Responder::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    dns.set("app.internal", vec![ip(1), ip(2)]);
    let (a, at_a) = start(1, "app.internal", &dns).await;
    let (b, at_b) = start(2, "app.internal", &dns).await;
    for cluster in [&a, &b] {
        cluster.wait_for(2, SOON).await.expect("they link up");
    }
    for (address, me, other) in [(at_a, 1, 2), (at_b, 2, 1)] {
        // A node may be found before its own questions are answered.
        let answered = async {
            loop {
                let (status, body) = health(address).await;
                assert_eq!(status, 200);
                if body["cluster"]["discovery"][0]["state"] == "ok" {
                    return body;
                }
            }
        };
        let body = tokio::time::timeout(SOON, answered)
            .await
            .expect("DNS answers");
        assert_eq!(body["status"], "healthy");
        assert_eq!(body["node"]["name"], format!("app@{}", ip(me)));
        let cluster = &body["cluster"];
        assert_eq!(cluster["enabled"], true);
        assert_eq!(cluster["nodes_connected"], 1);
        assert_eq!(cluster["nodes_total"], 2);
        assert_eq!(cluster["nodes_expected"], 2);
        assert_eq!(cluster["nodes"][0]["name"], format!("app@{}", ip(other)));
        assert_eq!(cluster["discovery"][0]["query"], "app.internal");
        assert_eq!(cluster["discovery"][0]["addresses"], 1);
    }
    assert_eq!(get(at_a, "/readyz").await.0, 503);
    a.ready();
    let ready = async {
        while get(at_a, "/readyz").await.0 != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, ready)
        .await
        .expect("it is ready");
    assert_eq!(get(at_b, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_node_alone_with_a_broken_resolver_is_alive_and_shows_why() {
    let dns = Responder::bind("127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    dns.set_answer("app.internal", Answer::ServerFailure);
    let (node, address) = start(3, "app.internal", &dns).await;
    let failed = async {
        loop {
            let (status, body) = health(address).await;
            assert_eq!((status, &body["status"]), (200, &"degraded".into()));
            let state = &body["cluster"]["discovery"][0]["state"];
            if state == "failed" {
                break;
            }
            assert_eq!(state, "pending");
        }
    };
    tokio::time::timeout(SOON, failed).await.expect("DNS fails");
    assert_eq!(get(address, "/livez").await.0, 200);
    drop(node);
}
