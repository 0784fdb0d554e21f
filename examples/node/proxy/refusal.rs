//! What is refused beside JSON-RPC: a status, and in JSON why.

use axum::Router;
use axum::body::Body;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A refusal.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) StatusCode, pub(crate) String);

/// What the query of a request asks for, or what is wrong with it.
pub(crate) type Asking<A> = Result<Query<A>, QueryRejection>;

impl Refusal {
    /// What is asked for makes no sense.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Refusal(StatusCode::BAD_REQUEST, text.into())
    }
}

/// A query names what is wrong with it, and the keys that there are.
impl From<QueryRejection> for Refusal {
    fn from(rejection: QueryRejection) -> Self {
        Refusal::bad(rejection.body_text())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal(status, error) = self;
        refused(status, json!({ "error": error }).to_string(), "10")
    }
}

/// A refusal in JSON, which says after how many seconds to ask again where there is no room now.
pub(crate) fn refused(status: StatusCode, text: String, seconds: &'static str) -> Response {
    let mut response = answer(status, text);
    let no_room = [
        StatusCode::SERVICE_UNAVAILABLE,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if no_room.contains(&status) {
        let seconds = HeaderValue::from_static(seconds);
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// The same routes, which tell what there is to whoever asks for what there is not.
pub(crate) fn guided(routes: Router) -> Router {
    routes
        .fallback(nowhere)
        .method_not_allowed_fallback(otherwise)
}

async fn nowhere(uri: Uri) -> Response {
    let error = format!("there is no path `{}`", uri.path());
    let guide = json!({ "error": error, "routes": ROUTES });
    answer(StatusCode::NOT_FOUND, guide.to_string())
}

async fn otherwise(method: Method, uri: Uri) -> Response {
    let error = format!("`{}` does not take {method}", uri.path());
    let guide = json!({ "error": error, "routes": ROUTES });
    answer(StatusCode::METHOD_NOT_ALLOWED, guide.to_string())
}

/// JSON, which nobody between here and there is to keep.
pub(crate) fn answer(status: StatusCode, body: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.into()).into_response()
}

/// What a node of this example answers.
const ROUTES: [&str; 11] = [
    "POST /rpc/{profile}/{chain}",
    "GET /events?profile=",
    "POST /events/ticket?profile=",
    "GET /api/leaderboard?profile=&chain=",
    "GET /api/realtime?profile=&chain=",
    "GET /api/methods?profile=&chain=",
    "GET /api/breakdown?profile=&chain=",
    "GET /api/node",
    "GET /health",
    "GET /livez",
    "GET /readyz",
];
