//! Serves a router over HTTP/1, within bounds.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::patient::Patient;
use super::places::{Place, Places, count_not_accepted};

/// [`serve_with`] the default [`Limits`]: enough for probes and dashboards.
pub async fn serve(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve_with(listener, router, Limits::default(), shutdown).await;
}

/// What clients can make [`serve_with`] hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time, 64; at least 1. Where all are taken, an idle one gives way to a newcomer.
    /// Higher: more memory for idle clients, some 20 KiB each. Lower: clients that keep their connection
    /// have to connect again.
    pub connections: usize,
    /// Of these, connections from one address, or one IPv6 network of 64 bits: 48. Higher: one client can
    /// take more from the others. Lower: many clients behind one address are refused sooner.
    pub connections_per_address: usize,
    /// Places beside these for newcomers while every connection has a request under way, 16; at least 1.
    /// In them only [`Limits::probes`] are answered, everything else is refused with 503.
    pub reserved: usize,
    /// Paths that are answered in reserved places, `/livez` and `/readyz`. What answers them must not wait.
    pub probes: Vec<String>,
    /// After this a connection is closed as soon as it has been answered, and 5 s later in any case,
    /// 60 s. Higher: fewer connects, and a client that does not read holds its place for longer.
    pub connection_time: Duration,
    /// A client that takes nothing of what is sent to it is closed after this, 30 s. Higher: clients on
    /// bad networks stay. Lower: a client that is gone without a word is noticed sooner.
    pub stall_time: Duration,
    /// How long requests under way may take once `shutdown` has completed, 10 s. Higher: slow requests are
    /// answered. Lower: the process ends sooner.
    pub drain_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            connections: MAX_CONNECTIONS,
            connections_per_address: MAX_CONNECTIONS / 4 * 3,
            reserved: RESERVED,
            probes: vec!["/livez".into(), "/readyz".into()],
            connection_time: CONNECTION_TIME,
            stall_time: STALL_TIME,
            drain_time: DRAIN_TIME,
        }
    }
}

/// In a response's extensions: its body may take as long as it likes, such as a stream of events.
///
/// [`Limits::connection_time`] no longer holds for its connection, which ends with the response, and [`Limits::stall_time`] still
/// does: the system is told to give up on a client that acknowledges nothing for so long, and a write
/// for which there is no room for so long is the end. So whoever sends such a body should send
/// something now and then, must bound what waits for a client that reads slowly, and must bound the
/// number of such responses below that of the connections, or nobody else gets in. A shutdown does not
/// wait for it.
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

/// In a request's extensions: the address that it came from, or the IPv4 address within an IPv6 one. Behind a
/// proxy it is the proxy's.
///
/// ```
/// use axum::Extension;
/// use lasso_net::http::ClientAddress;
///
/// async fn handler(Extension(ClientAddress(from)): Extension<ClientAddress>) -> String {
///     from.to_string()
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Serves `router` over HTTP/1 until `shutdown` completes, and then until no request is under way, for at
/// most [`Limits::drain_time`]. Meanwhile requests that arrive are still answered, probes among them, and
/// each answer ends its connection: make `/readyz` say 503 first, so that no more are sent here. Dropping
/// the future ends everything at once.
///
/// Connections are bounded by `limits`, in all and per address, and never wait for each other: where all
/// are taken, an idle one gives way, and where none is idle, a newcomer is answered with 503, unless it
/// asks for one of [`Limits::probes`]. A connection may have 16 KiB of request line and headers, in which
/// they must fit, and 10 s to send them, or to send nothing. How long a body may take, and how large it may
/// be, is for `router` to say. A response that bears [`Endless`] lives longer than others. What clients
/// were denied is in [`counters`](super::counters).
///
/// Runs inside a tokio runtime with IO and time. Where the system is out of file descriptors, idle
/// connections give way, and the listener is tried again after 100 ms.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) {
    let mut shutdown = pin!(shutdown);
    let places = Places::new(&limits);
    let limits = Arc::new(limits);
    let mut connections = JoinSet::new();
    // When it may end, and when it has to; `None`: nobody has asked.
    let mut until = None;
    loop {
        let over = async {
            match until {
                None => std::future::pending().await,
                Some((from, until)) => {
                    tokio::time::sleep_until(from).await;
                    let _ = tokio::time::timeout_at(until, places.quiet()).await;
                }
            }
        };
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown, if until.is_none() => {
                places.drain();
                let now = Instant::now();
                until = Some((now + ON_THEIR_WAY.min(limits.drain_time), now + limits.drain_time));
                continue;
            }
            () = over => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let (place, gave_way) = places.take(from.ip());
                let id = place.id();
                let from = ClientAddress(from.ip().to_canonical());
                let connection = connection(stream, from, router.clone(), limits.clone(), place);
                places.started(id, connections.spawn(connection));
                if gave_way {
                    // Its socket is closed before the next one is opened.
                    tokio::task::yield_now().await;
                }
            }
            // The client's doing: it has gone already.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(_) => {
                count_not_accepted();
                places.give_up_one();
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Answers one client, until it is through, or its time is over.
async fn connection(
    stream: TcpStream,
    from: ClientAddress,
    router: Router,
    limits: Arc<Limits>,
    place: Place,
) {
    // Where the system cannot, a client that is gone without a word stays until the system finds out.
    #[cfg(target_os = "linux")]
    let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(limits.stall_time));
    let is_endless = Arc::new(AtomicBool::new(false));
    let place = Arc::new(place);
    let service = Guarded {
        router: TowerToHyperService::new(router),
        from,
        is_endless: is_endless.clone(),
        limits: limits.clone(),
        place: place.clone(),
    };
    let header_time = if place.is_reserved() {
        RESERVED_HEADER_TIME
    } else {
        HEADER_TIME
    };
    let stream = Patient::new(stream, limits.stall_time, place);
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(header_time)
        .max_buf_size(MAX_HEADER);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let over = async {
        tokio::time::sleep(limits.connection_time).await;
        if is_endless.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        // An error here is the client's affair.
        _ = connection.as_mut() => return,
        () = over => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(GRACE, connection).await;
}

/// Answers requests, within what their connection's place allows.
struct Guarded {
    router: TowerToHyperService<Router>,
    from: ClientAddress,
    is_endless: Arc<AtomicBool>,
    limits: Arc<Limits>,
    place: Arc<Place>,
}

impl Service<Request<Incoming>> for Guarded {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let (place, is_endless) = (self.place.clone(), self.is_endless.clone());
        place.works();
        let probes = &self.limits.probes;
        if place.is_reserved() && !probes.iter().any(|probe| probe == request.uri().path()) {
            place.refuses();
            return Box::pin(core::future::ready(Ok(last(refusal(), place))));
        }
        request.extensions_mut().insert(self.from);
        let answer = self.router.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            if response.extensions().get::<Endless>().is_some() {
                is_endless.store(true, Ordering::Relaxed);
                place.is_endless();
                // Or else requests that follow could hold the connection for ever, one by one.
                close(&mut response);
            } else if place.is_to_close() {
                close(&mut response);
            }
            Ok(response.map(|body| Body::new(Watched { body, place })))
        })
    }
}

/// What a newcomer hears when every place is taken.
fn refusal() -> Response {
    let mut response = (
        StatusCode::SERVICE_UNAVAILABLE,
        "too many connections with requests under way: try again\n",
    )
        .into_response();
    let headers = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn last(mut response: Response, place: Arc<Place>) -> Response {
    close(&mut response);
    response.map(|body| Body::new(Watched { body, place }))
}

fn close(response: &mut Response) {
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(header::CONNECTION, close);
}

/// A body whose end tells the place of its connection.
struct Watched {
    body: Body,
    place: Arc<Place>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.place.has_answered();
    }
}

/// Connections at a time: probes and dashboards are few.
pub(super) const MAX_CONNECTIONS: usize = 64;
/// Places for probes: more than the probes of one machine and its balancers come at once.
const RESERVED: usize = 16;
/// Request line and headers of one request; hyper's buffer, twice what browsers send.
pub(super) const MAX_HEADER: usize = 16 * 1024;
/// For the headers of one request to arrive, and for a connection without one: longer than a slow
/// network.
pub(super) const HEADER_TIME: Duration = Duration::from_secs(10);
/// The same in a reserved place: a probe has its request ready.
const RESERVED_HEADER_TIME: Duration = Duration::from_secs(2);
/// For one connection altogether, so that a client that does not read gives way.
pub(super) const CONNECTION_TIME: Duration = Duration::from_secs(60);
/// Without room for a byte of an answer: what is behind a connection that slow is no reader.
const STALL_TIME: Duration = Duration::from_secs(30);
/// For an answer that is under way when its connection is to close.
const GRACE: Duration = Duration::from_secs(5);
/// For requests under way when the server is to stop: longer than the proxy gives one, shorter than
/// Kubernetes waits.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// For requests that clients have sent when the server is told to stop, and that nobody has read.
const ON_THEIR_WAY: Duration = Duration::from_millis(100);
/// After an error of the listener.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
