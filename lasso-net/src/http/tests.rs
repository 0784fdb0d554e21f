use super::serve::{CONNECTION_TIME, HEADER_TIME, MAX_CONNECTIONS, MAX_HEADER};
use super::*;
use axum::Extension;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

#[derive(Clone)]
struct Node {
    report: HealthReport,
    ready: bool,
}

impl HealthSource for Node {
    fn health(&self) -> HealthReport {
        self.report.clone()
    }

    fn is_ready(&self) -> bool {
        self.ready
    }
}

fn shape(status: &str) -> Value {
    json!({
        "status": status, "timestamp": "2026-01-24T10:00:00.123Z",
        "uptime_seconds": 512, "version": "0.1.0",
        "node": { "name": "lasso@10.0.0.5", "id": "10.0.0.5", "region": "iad",
                  "roles": ["web"], "incarnation": 1_769_248_800_000_u64 },
        "cluster": { "enabled": true, "nodes_connected": 1, "nodes_total": 2,
            "nodes_expected": 3, "regions": ["iad", "sjc"],
            "nodes": [ { "name": "lasso@10.0.0.6", "id": "10.0.0.6", "region": "sjc",
                         "roles": [], "state": "ready", "since_seconds": 500,
                         "rtt_ms": 0.4, "version": "0.1.0" } ],
            "coverage": { "expected": 3, "connected": 2, "responding": 2, "identified": 2,
                          "unresponsive": [], "disconnected": ["lasso@10.0.0.7"], "epoch": 7 },
            "partitions": { "islands": [], "pairs": [] },
            "discovery": [ { "query": "lasso.internal", "state": "ok", "addresses": 2,
                             "age_seconds": 3 } ] },
        "log": { "lines_dropped": 0, "lines_suppressed": 7 } })
}

fn node(status: &str) -> Node {
    Node {
        report: serde_json::from_value(shape(status)).unwrap(),
        ready: true,
    }
}

/// A running server, and what stops it.
async fn start(node: Node) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async { stopped.await.unwrap_or(()) };
    let serving = tokio::spawn(serve(listener, router(node), shutdown));
    (address, stop, serving)
}

/// Sends `request` on a connection of its own; what came back until the server closed.
async fn send(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A reset after an answer is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Status and body of an answer to one request.
async fn ask(address: SocketAddr, line: &str) -> (u16, String) {
    let request = format!("{line} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    let answer = send(address, request.as_bytes()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    if line.starts_with("GET") && !body.is_empty() {
        assert!(head.contains("cache-control: no-store"), "{head}");
    }
    let status = head.split(' ').nth(1).unwrap();
    (status.parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn health_is_the_report_and_nothing_else() {
    for (status, code) in [("healthy", 200), ("degraded", 200), ("critical", 503)] {
        let (address, _stop, _) = start(node(status)).await;
        let (answered, body) = ask(address, "GET /health").await;
        assert_eq!(answered, code);
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, shape(status));
    }
}

#[tokio::test]
async fn ready_follows_the_application_and_alive_does_not() {
    for (ready, code) in [(true, 200), (false, 503)] {
        let mut node = node("critical");
        node.ready = ready;
        let (address, _stop, _) = start(node).await;
        let (answered, body) = ask(address, "GET /readyz").await;
        assert_eq!(answered, code);
        assert_eq!(body.contains("not ready: the application"), !ready);
        assert_eq!(
            ask(address, "GET /livez").await,
            (200, "alive\n".to_owned())
        );
    }
}

#[tokio::test]
async fn a_request_bears_the_address_that_it_came_from() {
    let router =
        Router::new().route(
            "/",
            get(
                |Extension(ClientAddress(from)): Extension<ClientAddress>| async move {
                    from.to_string()
                },
            ),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, std::future::pending()));
    let answer = send(
        address,
        b"GET / HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let (address, _stop, _) = start(node("healthy")).await;
    for (line, code) in [
        ("GET /", 404),
        ("GET /health/", 404),
        ("GET /HEALTH", 404),
        ("GET /../health", 404),
        ("POST /health", 405),
        ("DELETE /readyz", 405),
        ("HEAD /health", 200),
    ] {
        let (answered, body) = ask(address, line).await;
        assert_eq!(answered, code, "{line}");
        assert_eq!(body, "", "{line}");
    }
}

#[tokio::test]
async fn garbage_and_long_headers_end_their_connection_and_no_other() {
    let (address, _stop, _) = start(node("healthy")).await;
    let mut long = b"GET /livez HTTP/1.1\r\nx: ".to_vec();
    long.resize(2 * MAX_HEADER, b'x');
    for (request, code) in [
        (&b"\x16\x03\x01\x00\xff\r\n\r\n"[..], "400"),
        (&long, "431"),
    ] {
        let answer = send(address, request).await;
        // The rest of what was sent may make the system reset the connection first.
        assert!(
            answer.is_empty() || answer.split(' ').nth(1) == Some(code),
            "{answer}"
        );
    }
    assert_eq!(ask(address, "GET /livez").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_finishes_its_headers_is_closed_in_time() {
    let (address, _stop, _) = start(node("healthy")).await;
    let began = tokio::time::Instant::now();
    assert_eq!(send(address, b"GET /health HTTP/1.1\r\nHost: ").await, "");
    assert!(began.elapsed() <= HEADER_TIME + Duration::from_millis(10));
}

#[tokio::test]
async fn idle_clients_give_way_to_a_probe_at_once() {
    let (address, _stop, _) = start(node("healthy")).await;
    let mut idle = Vec::new();
    for _ in 0..4 * MAX_CONNECTIONS {
        idle.push(TcpStream::connect(address).await.unwrap());
        if idle.len() % MAX_CONNECTIONS == 0 {
            let began = std::time::Instant::now();
            assert_eq!(ask(address, "GET /livez").await.0, 200);
            assert!(began.elapsed() < HEADER_TIME / 4, "{:?}", began.elapsed());
        }
    }
    let mut first = idle.swap_remove(0);
    assert_eq!(
        first.read(&mut [0]).await.unwrap_or(0),
        0,
        "the oldest went"
    );
}

/// An application with requests that end when they are let, and with probes.
async fn start_slow(
    limits: Limits,
) -> (
    SocketAddr,
    std::sync::Arc<tokio::sync::Semaphore>,
    watch::Receiver<usize>,
) {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let let_through = gate.clone();
    let (come, coming) = watch::channel(0);
    let slow = get(async move || {
        come.send_modify(|come| *come += 1);
        let _ = let_through.acquire().await;
        uncached(StatusCode::OK, "slow")
    });
    let router = router(node("healthy")).route("/slow", slow);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let forever = std::future::pending();
    tokio::spawn(serve_with(listener, router, limits, forever));
    (address, gate, coming)
}

#[tokio::test]
async fn where_every_place_works_probes_are_answered_and_others_refused() {
    let limits = Limits {
        connections: 8,
        connections_per_address: 8,
        ..Limits::default()
    };
    let (address, gate, mut coming) = start_slow(limits).await;
    let slow: Vec<_> = (0..8)
        .map(|_| tokio::spawn(ask(address, "GET /slow")))
        .collect();
    coming.wait_for(|come| *come == 8).await.unwrap();
    assert_eq!(ask(address, "GET /health").await.0, 503);
    for _ in 0..40 {
        // They would be closed soon, and take no place from probes meanwhile.
        let _idle = TcpStream::connect(address).await.unwrap();
        for path in ["GET /livez", "GET /readyz"] {
            assert_eq!(ask(address, path).await.0, 200, "{path}");
        }
    }
    gate.add_permits(8);
    for answer in slow {
        assert_eq!(answer.await.unwrap(), (200, "slow".into()));
    }
    assert_eq!(ask(address, "GET /health").await.0, 200);
    assert!(counters().refused > 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_keeps_asking_is_closed_after_a_minute_between_two_answers() {
    let (address, _stop, _) = start(node("healthy")).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut buffer = [0; 1024];
    loop {
        let asked = stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: node\r\n\r\n")
            .await;
        let answered = stream.read(&mut buffer).await;
        match (asked, answered) {
            (Ok(()), Ok(length)) if length > 0 => {
                assert!(buffer.starts_with(b"HTTP/1.1 200 OK\r\n"));
            }
            _ => break,
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let lasted = began.elapsed().as_secs();
    assert!((59..=61).contains(&lasted), "{lasted}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_closes_what_is_idle_and_waits_for_nobody() {
    let (address, stop, serving) = start(node("healthy")).await;
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(address, "GET /livez").await.0, 200);
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(b"GET /health HTTP/1.1\r\n").await.unwrap();
    stop.send(()).unwrap();
    let began = tokio::time::Instant::now();
    serving.await.unwrap();
    assert!(began.elapsed() <= Duration::from_millis(200));
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

/// An application with a body that never ends, of one line a second, and one that is all there.
async fn start_endless(chunk: usize) -> SocketAddr {
    use axum::body::{Body, Bytes};
    let endless = get(move || async move {
        let lines = futures_util::stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Bytes::from(vec![b'.'; chunk])), ()))
        });
        let mut response = Body::from_stream(lines).into_response();
        response.extensions_mut().insert(Endless);
        response
    });
    let router = Router::new()
        .route("/endless", endless)
        .route("/livez", get(async || "alive"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, std::future::pending()));
    address
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_endless_outlives_a_connection_that_is_not() {
    let address = start_endless(1).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let began = tokio::time::Instant::now();
    let request = b"GET /endless HTTP/1.1\r\nHost: node\r\n\r\n";
    stream.write_all(request).await.unwrap();
    while began.elapsed() < 5 * CONNECTION_TIME {
        let mut buffer = [0; 1024];
        assert!(stream.read(&mut buffer).await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_response_that_was_to_be_endless() {
    let address = start_endless(1).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The answer to HEAD has no body, so that it is over at once; what follows is not answered.
    let requests =
        b"HEAD /endless HTTP/1.1\r\nHost: node\r\n\r\nGET /livez HTTP/1.1\r\nHost: node\r\n\r\n";
    stream.write_all(requests).await.unwrap();
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all).await;
    let all = String::from_utf8(all).unwrap();
    assert!(all.contains("connection: close"), "{all}");
    assert_eq!(all.matches("HTTP/1.1 200").count(), 1, "{all}");
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_has_stopped_reading_an_endless_stream_is_closed() {
    // As much as fits into no socket's buffers: it is full within a minute.
    let address = start_endless(1 << 20).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /endless HTTP/1.1\r\nHost: node\r\n\r\n";
    stream.write_all(request).await.unwrap();
    tokio::time::sleep(3 * CONNECTION_TIME).await;
    let mut all = Vec::new();
    // What was in the buffers, then the end.
    let _ = stream.take(60 << 20).read_to_end(&mut all).await;
    assert!(all.len() < 60 << 20, "{}", all.len());
}

/// An application whose answer has a million bytes and begins when it is let.
async fn start_draining(
    drain_time: Duration,
) -> (
    SocketAddr,
    oneshot::Sender<()>,
    std::sync::Arc<tokio::sync::Semaphore>,
    tokio::task::JoinHandle<()>,
) {
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (ready, let_through) = (gate.clone(), gate.clone());
    let large = get(async move || {
        let _ = let_through.acquire().await;
        vec![b'x'; 4_000_000]
    });
    // Ready until the first permit: a stand-in for what an application says.
    let readiness = get(async move || match ready.available_permits() {
        0 => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    });
    let router = Router::new()
        .route("/large", large)
        .route("/readyz", readiness);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let limits = Limits {
        drain_time,
        ..Limits::default()
    };
    let shutdown = async { stopped.await.unwrap_or(()) };
    let serving = tokio::spawn(serve_with(listener, router, limits, shutdown));
    (address, stop, gate, serving)
}

#[tokio::test]
async fn a_shutdown_waits_until_answers_under_way_have_been_taken() {
    let (address, stop, gate, serving) = start_draining(Duration::from_secs(20)).await;
    let mut asked = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = b"GET /large HTTP/1.1\r\nHost: node\r\n\r\n";
        stream.write_all(request).await.unwrap();
        asked.push(stream);
    }
    assert_eq!(ask_plain(address, "/readyz").await, 200);
    stop.send(()).unwrap();
    // New connections are still answered, so that balancers learn that the node is not ready.
    assert_eq!(ask_plain(address, "/readyz").await, 200);
    gate.add_permits(20);
    for mut stream in asked {
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer[..200]).to_lowercase();
        assert!(text.starts_with("http/1.1 200"), "{text}");
        assert!(text.contains("connection: close"), "{text}");
        assert!(answer.len() > 4_000_000);
    }
    serving.await.unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

async fn ask_plain(address: SocketAddr, path: &str) -> u16 {
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    let answer = send(address, request.as_bytes()).await;
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_an_answer_that_never_comes_as_long_as_it_is_told() {
    let (address, stop, _gate, serving) = start_draining(Duration::from_secs(7)).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /large HTTP/1.1\r\nHost: node\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(ask_plain(address, "/readyz").await, 200);
    stop.send(()).unwrap();
    let began = tokio::time::Instant::now();
    serving.await.unwrap();
    let lasted = began.elapsed();
    assert!((7..8).contains(&lasted.as_secs()), "{lasted:?}");
}
