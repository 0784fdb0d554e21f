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
//! What clients can make the process hold is bounded, and clients cannot keep probes of `/livez` and
//! `/readyz` from an answer: see [`serve_with`].
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

mod patient;
mod places;
mod serve;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;
use lasso_core::health::{HealthReport, HealthStatus};

pub use places::{Counters, counters};
pub use serve::{ClientAddress, Endless, Limits, serve, serve_with};

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

#[cfg(test)]
mod tests;
