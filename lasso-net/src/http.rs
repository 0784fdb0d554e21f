//! Health over HTTP: for load balancers, Kubernetes and people with `curl`.
//!
//! | path | answer |
//! | --- | --- |
//! | `/health` | 200 with the [`HealthReport`] as JSON; 503, with the same, when it is critical |
//! | `/livez` | 200 while the process answers |
//! | `/readyz` | 200 once the application has said that it is ready, else 503 with the reason |
//!
//! `/livez` says nothing of the cluster, so that a network that fails does not make Kubernetes
//! restart every node; neither does `/readyz`, so that a node which has lost its peers goes on
//! serving. Everything else is 404, other methods than GET and HEAD 405.
//!
//! The endpoints ask for no secret, and the report holds none. It does hold names and addresses:
//! bind to loopback, which is the default of `HTTP_BIND`, or to a network of your own.
//!
//! What clients can make the process hold is bounded: see [`serve_with`].
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! use lasso_net::{Cluster, http};
//!
//! let cluster = Cluster::builder().start().await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let shutdown = async { /* until SIGTERM, say */ };
//! http::serve(listener, http::router(cluster.clone()), shutdown).await;
//! cluster.shutdown().await;
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lasso_core::health::{HealthReport, HealthStatus};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Sleep;

/// Where the endpoints take their answers from.
///
/// Called once per request, on a task of the runtime: it must not wait.
pub trait HealthSource: Clone + Send + Sync + 'static {
    /// How the node is at this moment.
    fn health(&self) -> HealthReport;

    /// The application has said that it is ready to work, and has not taken it back.
    fn is_ready(&self) -> bool;
}

/// The endpoints, to [`serve`], or to nest into the application's own router.
pub fn router<S: HealthSource>(source: S) -> Router {
    Router::new()
        .route("/health", get(health::<S>))
        .route("/livez", get(async || uncached(StatusCode::OK, "alive\n")))
        .route("/readyz", get(ready::<S>))
        .with_state(source)
}

async fn health<S: HealthSource>(State(source): State<S>) -> Response {
    let report = source.health();
    let status = match report.status {
        HealthStatus::Healthy | HealthStatus::Degraded => StatusCode::OK,
        HealthStatus::Critical => StatusCode::SERVICE_UNAVAILABLE,
    };
    uncached(status, Json(report))
}

async fn ready<S: HealthSource>(State(source): State<S>) -> Response {
    if source.is_ready() {
        uncached(StatusCode::OK, "ready\n")
    } else {
        let reason = "not ready: the application has not said that it is\n";
        uncached(StatusCode::SERVICE_UNAVAILABLE, reason)
    }
}

/// An answer that no proxy may keep: it is about now.
fn uncached(status: StatusCode, body: impl IntoResponse) -> Response {
    let mut response = (status, body).into_response();
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

/// [`serve_with`] the default [`Limits`]: enough for probes and dashboards.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_with(listener, router, Limits::default(), shutdown).await;
}

/// What clients can make [`serve_with`] hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, 64; at least 1. Others wait in the system's backlog. Higher: more memory
    /// for idle clients, some 20 KiB each. Lower: clients wait for each other.
    pub connections: usize,
    /// After this a connection is closed as soon as it has been answered, and 5 s later in any case,
    /// 60 s. Higher: fewer connects, and a client that does not read holds its place for longer.
    pub connection_time: Duration,
    /// A client that takes nothing of what is sent to it is closed after this, 30 s. Higher: clients on
    /// bad networks stay. Lower: a client that is gone without a word is noticed sooner.
    pub stall_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: MAX_CONNECTIONS,
            connection_time: CONNECTION_TIME,
            stall_time: STALL_TIME,
        }
    }
}

/// In a response's extensions: its body may take as long as it likes, such as a stream of events.
///
/// [`Limits::connection_time`] no longer holds for its connection, and [`Limits::stall_time`] still
/// does: the system is told to give up on a client that acknowledges nothing for so long, and a write
/// for which there is no room for so long is the end. So whoever sends such a body should send
/// something now and then, must bound what waits for a client that reads slowly, and must bound the
/// number of such responses below that of the connections, or nobody else gets in.
///
/// ```
/// use axum::response::IntoResponse;
/// use lasso_net::http::Endless;
///
/// let mut response = "an endless body".into_response();
/// response.extensions_mut().insert(Endless);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endless;

/// Serves `router` over HTTP/1 until `shutdown` completes; requests that have arrived by then are
/// still answered, for 5 s at most. Dropping the future ends everything at once.
///
/// Connections are bounded by `limits`. One may have 16 KiB of request line and headers, in which they
/// must fit, and 10 s to send them, or to send nothing. How long a body may take, and how large it may
/// be, is for `router` to say. A response that bears [`Endless`] lives longer than others.
///
/// Runs inside a tokio runtime with IO and time. A listener that fails is tried again after
/// 100 ms: the usual cause is a process out of file descriptors.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let (closing, closed) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < limits.connections.max(1) => match accepted {
                Ok((stream, _)) => {
                    let router = router.clone();
                    connections.spawn(connection(stream, router, limits.clone(), closed.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }
    drop(listener);
    drop(closing);
    while connections.join_next().await.is_some() {}
}

/// Answers one client, until it is through, its time is over, or `closed` has no sender left.
async fn connection(
    stream: TcpStream,
    router: Router,
    limits: Limits,
    mut closed: watch::Receiver<()>,
) {
    // Where the system cannot, a client that is gone without a word stays until the system finds out.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits.stall_time));
    let endless = Arc::new(AtomicBool::new(false));
    let service = Noticing {
        router: TowerToHyperService::new(router),
        endless: endless.clone(),
    };
    let stream = Patient {
        stream,
        patience: limits.stall_time,
        stalled: None,
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(MAX_HEADER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let over = async {
        tokio::time::sleep(limits.connection_time).await;
        if endless.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        // An error here is the client's affair.
        _ = connection.as_mut() => return,
        _ = closed.changed() => {}
        () = over => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}

/// Notices responses that bear [`Endless`].
struct Noticing {
    router: TowerToHyperService<Router>,
    endless: Arc<AtomicBool>,
}

impl Service<Request<Incoming>> for Noticing {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (answer, endless) = (self.router.call(request), self.endless.clone());
        Box::pin(async move {
            let response = answer.await?;
            if response.extensions().get::<Endless>().is_some() {
                endless.store(true, Ordering::Relaxed);
            }
            Ok(response)
        })
    }
}

/// A stream whose writes fail when there was no room for any of it for too long.
struct Patient {
    stream: TcpStream,
    patience: Duration,
    /// Since a write found no room: when patience ends.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let patience = self.patience;
        let end = || Box::pin(tokio::time::sleep(patience));
        let stalled = self.stalled.get_or_insert_with(end);
        stalled
            .as_mut()
            .poll(cx)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wait(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wait(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Connections at a time: probes and dashboards are few.
const MAX_CONNECTIONS: usize = 64;
/// Request line and headers of one request; hyper's buffer, twice what browsers send.
const MAX_HEADER: usize = 16 * 1024;
/// For the headers of one request to arrive, and for a connection without one: longer than a slow
/// network, shorter than the patience of whoever waits for a free connection.
const HEADER_TIME: Duration = Duration::from_secs(10);
/// For one connection altogether, so that a client that does not read gives way.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Without room for a byte of an answer: what is behind a connection that slow is no reader.
const STALL_TIME: Duration = Duration::from_secs(30);
/// For an answer that is under way when its connection is to close.
const GRACE: Duration = Duration::from_secs(5);
/// After an error of the listener.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

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
                                 "age_seconds": 3 } ] } })
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

    #[tokio::test(start_paused = true)]
    async fn clients_beyond_the_limit_wait_until_others_have_gone() {
        let (address, _stop, _) = start(node("healthy")).await;
        let mut idle = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(ask(address, "GET /livez").await.0, 200);
        for mut stream in idle {
            assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
        }
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
        assert!(began.elapsed() <= GRACE + Duration::from_millis(10));
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
        let _ = stream.read_to_end(&mut all).await;
        assert!(all.len() < 60 << 20, "{}", all.len());
    }
}
