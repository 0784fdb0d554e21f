//! A provider at a URL, asked over HTTP/1.1 without TLS.

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

use super::jsonrpc::{RpcError, Said};
use super::reply::{Failure, Reply};

/// Asks providers; its connections are shared by all of its clones.
#[derive(Clone)]
pub(crate) struct Client {
    pooled: Pooled<HttpConnector, Full<Bytes>>,
    answer_bytes: usize,
}

#[derive(Serialize)]
struct Question<'a> {
    jsonrpc: &'static str,
    id: u8,
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

/// An answer as it came: either field may be there.
#[derive(Deserialize)]
struct Answered {
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    error: Option<RpcError>,
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
        let pooled = Pooled::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(idle_max)
            .build(connector);
        Client {
            pooled,
            answer_bytes,
        }
    }

    /// Asks; whoever calls bounds the time. Dropping the future gives the request up.
    pub(crate) async fn ask(&self, url: &Uri, method: &str, params: Option<&RawValue>) -> Reply {
        let question = Question {
            jsonrpc: "2.0",
            id: 1,
            method,
            params,
        };
        let question = serde_json::to_vec(&question).expect("a question is text and raw JSON");
        let request = Request::post(url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(question))
            .map_err(|_| Failure::Unreachable)?;
        let sent = self.pooled.request(request).await;
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
        read(status, &body)
    }
}

/// What an answer says. Providers send errors of JSON-RPC with all kinds of statuses.
fn read(status: StatusCode, body: &[u8]) -> Reply {
    let answered = serde_json::from_slice::<Answered>(body);
    match answered {
        Ok(Answered {
            error: Some(error), ..
        }) => Ok(Said::Error(error)),
        _ if !status.is_success() => Err(Failure::Status(status.as_u16())),
        Ok(Answered {
            result: Some(result),
            ..
        }) => Ok(Said::Result(result)),
        _ => Err(Failure::Malformed),
    }
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
        match read(StatusCode::from_u16(status).unwrap(), body.as_bytes()) {
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
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(said(status, body), expected, "{status} {body}");
        }
    }
}
