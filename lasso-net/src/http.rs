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
/// [`Limits::connection_time`] no longer holds for its connection, which ends with the response, and [`Limits::stall_time`] still
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
            let mut response = answer.await?;
            if response.extensions().get::<Endless>().is_some() {
                endless.store(true, Ordering::Relaxed);
                // Or else requests that follow could hold the connection for ever, one by one.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
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
mod tests;
