//! A provider at a URL, asked over HTTP/1.1 without TLS.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::jsonrpc::{INTERNAL_ERROR, RpcError, Said};
use super::kept::{Connector, not_sent};
use super::reply::{Failure, Reply};

/// Asks providers; its connections are shared by all of its clones.
#[derive(Clone)]
pub(crate) struct Client {
    pooled: Pooled<Connector, Full<Bytes>>,
    /// Connects anew for each request.
    fresh: Pooled<Connector, Full<Bytes>>,
    answer_bytes: usize,
    /// Ids given so far: each request has one of its own, so that no answer is taken for another's.
    ids: Arc<AtomicU64>,
}

#[derive(Serialize)]
struct Question<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

/// An answer as it came: any field may be there.
#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

/// An error as providers write it, which is not always as the specification has it.
#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    code: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    data: Option<Box<RawValue>>,
}

/// A result that is there, `null` included, as that of a transaction which is not known.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(from).map(Some)
}

impl Client {
    /// A client that takes answers of at most so many bytes.
    /// Of connections that nobody uses it keeps few enough for each provider that all together are at most
    /// `idle_max`.
    pub(crate) fn new(answer_bytes: usize, idle_max: usize, providers: usize) -> Self {
        let idle_max = (idle_max / providers.max(1)).clamp(1, IDLE_MAX);
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIME));
        let connector = Connector(connector);
        let pooled = Pooled::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(idle_max)
            .build(connector.clone());
        let fresh = Pooled::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(connector);
        Client {
            pooled,
            fresh,
            answer_bytes,
            ids: Arc::default(),
        }
    }

    /// Asks; whoever calls bounds the time. Dropping the future gives the request up.
    pub(crate) async fn ask(&self, url: &Uri, method: &str, params: Option<&RawValue>) -> Reply {
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let question = Question {
            jsonrpc: "2.0",
            id,
            method,
            params,
        };
        let question = serde_json::to_vec(&question).expect("a question is text and raw JSON");
        let question = Bytes::from(question);
        let request = || {
            Request::post(url)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::from(question.clone()))
                .map_err(|_| Failure::Unreachable)
        };
        let sent = match self.pooled.request(request()?).await {
            Err(error) if not_sent(&error) => self.fresh.request(request()?).await,
            sent => sent,
        };
        let response = sent.map_err(|_| Failure::Unreachable)?;
        if response.status() == StatusCode::TOO_MANY_REQUESTS {
            return Err(Failure::RateLimited(pause(&response)));
        }
        let status = response.status();
        let body = Limited::new(response.into_body(), self.answer_bytes);
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(Failure::TooLarge);
            }
            Err(_) => return Err(Failure::Unreachable),
        };
        read(status, &body, id)
    }
}

/// What an answer says to the request of this id. Providers send errors of JSON-RPC with all kinds of
/// statuses.
fn read(status: StatusCode, body: &[u8], id: u64) -> Reply {
    let otherwise = match status.is_success() {
        true => Failure::Malformed,
        false => Failure::Status(status.as_u16()),
    };
    let Ok(answered) = serde_json::from_slice::<Answered<'_>>(body) else {
        return Err(otherwise);
    };
    let is_ours = answered.id.is_some_and(|own| own.get() == id.to_string());
    // Who could not read a request does not know its id.
    let has_none = answered.id.is_none();
    match answered.error.map(error) {
        Some(Some(error)) if is_ours || has_none => return Ok(Said::Error(error)),
        Some(_) => return Err(otherwise),
        None => {}
    }
    match answered.result {
        Some(result) if is_ours && status.is_success() => Ok(Said::Result(result)),
        _ => Err(otherwise),
    }
}

/// An error, as far as it can be understood; one without a number is that of whoever answers.
fn error(raw: &RawValue) -> Option<RpcError> {
    if let Ok(message) = serde_json::from_str::<String>(raw.get()) {
        return Some(RpcError::new(INTERNAL_ERROR, message));
    }
    let Written {
        code,
        message,
        data,
    } = serde_json::from_str(raw.get()).ok()?;
    Some(RpcError {
        code: code.and_then(number).unwrap_or(INTERNAL_ERROR),
        message: message.map_or_else(String::new, |raw| text(raw).into_owned()),
        data,
    })
}

/// A whole number, which may be written as a text.
fn number(raw: &RawValue) -> Option<i64> {
    text(raw).trim().parse().ok()
}

/// A text, or whatever else there is, as it was written.
fn text(raw: &RawValue) -> Cow<'_, str> {
    serde_json::from_str::<String>(raw.get()).map_or(Cow::Borrowed(raw.get()), Cow::Owned)
}

fn pause(response: &Response<Incoming>) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

/// For a connection to stand.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// Connections that nobody uses are closed after this.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// Connections that nobody uses, for each provider.
const IDLE_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> Result<String, Failure> {
        match read(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 1) {
            Ok(Said::Result(result)) => Ok(result.get().to_owned()),
            Ok(Said::Error(error)) => Ok(error.code.to_string()),
            Err(failure) => Err(failure),
        }
    }

    #[test]
    fn an_answer_is_its_result_its_error_or_no_answer() {
        for (status, body, expected) in [
            (
                200,
                r#"{"jsonrpc":"2.0","id":1,"result":{"a":1.10}}"#,
                Ok(r#"{"a":1.10}"#),
            ),
            (200, r#"{"jsonrpc":"2.0","id":1,"result":null}"#, Ok("null")),
            (
                200,
                r#"{"id":1,"error":{"code":3,"message":"no","data":"0x"}}"#,
                Ok("3"),
            ),
            (
                200,
                r#"{"id":1,"result":null,"error":{"code":-32005}}"#,
                Ok("-32005"),
            ),
            (
                400,
                r#"{"id":1,"error":{"code":-32602,"message":"no"}}"#,
                Ok("-32602"),
            ),
            (503, r#"{"message":"down"}"#, Err(Failure::Status(503))),
            (500, "oops", Err(Failure::Status(500))),
            (200, r#"{"id":1}"#, Err(Failure::Malformed)),
            (200, "[]", Err(Failure::Malformed)),
            (200, "", Err(Failure::Malformed)),
            (
                200,
                r#"{"id":1,"error":{"code":"-32602","message":null}}"#,
                Ok("-32602"),
            ),
            (
                200,
                r#"{"id":1,"error":{"code":"INVALID","message":7}}"#,
                Ok("-32603"),
            ),
            (200, r#"{"error":{"message":"no"}}"#, Ok("-32603")),
            (403, r#"{"error":"forbidden"}"#, Ok("-32603")),
            (200, r#"{"id":1,"error":[]}"#, Err(Failure::Malformed)),
            (200, r#"{"id":null,"error":{"code":-32700}}"#, Ok("-32700")),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(said(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_answer_with_an_id_that_is_not_ours_is_refused() {
        for id in ["2", "\"1\"", "null", "1.0", "[1]", "{}", "11"] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":"another's"}}"#);
            assert_eq!(said(200, &body), Err(Failure::Malformed), "{id}");
            if id != "null" {
                let body = format!(r#"{{"id":{id},"error":{{"code":-32000,"message":"no"}}}}"#);
                assert_eq!(said(200, &body), Err(Failure::Malformed), "{id}");
            }
        }
        let without = r#"{"jsonrpc":"2.0","result":"another's"}"#;
        assert_eq!(said(200, without), Err(Failure::Malformed));
    }
}
