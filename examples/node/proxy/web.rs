//! The proxy over HTTP: what clients send, and what they get.
//!
//! `POST /rpc/{profile}/{chain}` takes JSON-RPC. What is said there is always an answer of JSON-RPC,
//! also where the status of HTTP says that nothing was asked: 401, 404, 408, 413, 429, 503.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use futures_util::future::join_all;
use futures_util::stream;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use lasso::Segment;
use lasso::http::ClientAddress;
use parking_lot::Mutex;

use super::admission::{Caller, Full};
use super::jsonrpc::{self, Answer, Entry, INVALID_REQUEST, LIMIT_EXCEEDED, NOT_FOUND, REFUSED};
use super::judge::Witness;
use super::keys::Keys;
use super::refusal::{Refusal, answer, refused};
use super::report::Place;
use super::service::{Room, Service};
use super::tickets::Tickets;

/// What every request needs.
#[derive(Clone)]
struct Web {
    service: Service,
    keys: Arc<Keys>,
    tickets: Arc<Mutex<Tickets>>,
}

/// The routes.
pub(crate) fn router(service: Service, keys: Arc<Keys>, tickets: Arc<Mutex<Tickets>>) -> Router {
    Router::new()
        .route("/rpc/{profile}/{chain}", post(rpc))
        .route("/api/node", get(node))
        .with_state(Web {
            service,
            keys,
            tickets,
        })
}

/// A refusal before anything was asked.
struct Refused {
    status: StatusCode,
    answer: Box<Answer>,
}

impl Refused {
    fn new(status: StatusCode, code: i64, message: impl Into<String>) -> Self {
        Refused {
            status,
            answer: Box::new(Answer::error(None, code, message)),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        refused(self.status, self.answer.to_json(), "1")
    }
}

impl From<Full> for Refused {
    fn from(full: Full) -> Self {
        match full {
            Full::Caller => Refused::new(
                StatusCode::TOO_MANY_REQUESTS,
                LIMIT_EXCEEDED,
                "too many requests of your account, or without one, are under way; try again in a second",
            ),
            Full::Node => Refused::new(
                StatusCode::SERVICE_UNAVAILABLE,
                LIMIT_EXCEEDED,
                "too many requests are under way; try again in a second",
            ),
        }
    }
}

/// What this node is doing.
async fn node(State(web): State<Web>, headers: HeaderMap) -> Result<Response, Refusal> {
    // It tells of the requests of all accounts.
    if !web.keys.opens_the_node(&headers) {
        let text = "X-Api-Key has to be the operator's key";
        return Err(Refusal(StatusCode::UNAUTHORIZED, text.into()));
    }
    let counts = serde_json::to_string(&web.service.counts(web.tickets.lock().shed()));
    Ok(answer(StatusCode::OK, counts.expect("numbers are JSON")))
}

async fn rpc(
    State(web): State<Web>,
    path: Result<Path<(String, String)>, PathRejection>,
    from: Option<Extension<ClientAddress>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    // A path that is no text is that of nothing.
    let (profile, chain) = path.map(|Path(path)| path).unwrap_or_default();
    let (room, caller) = web.admit(&profile, &chain, &headers)?;
    let witness = caller
        .bearer
        .witness(from.map(|Extension(ClientAddress(from))| from));
    // Before the body is read, so that there are never more bodies than places.
    let permit = web.service.enter(&caller, 1)?;
    let limits = web.service.limits();
    let body = read(body, limits.body_bytes).await?;
    match jsonrpc::parse(&body, limits.batch) {
        Err(answer) => Err(Refused {
            status: StatusCode::OK,
            answer,
        }),
        Ok(jsonrpc::Body::Single(entry)) => {
            let answer = web.answer(&room, &caller, &witness, entry).await;
            Ok(match answer {
                Some(answer) => held_json(answer.to_json(), [permit]),
                None => StatusCode::NO_CONTENT.into_response(),
            })
        }
        Ok(jsonrpc::Body::Batch(entries)) => {
            let more = web.service.enter(&caller, entries.len() - 1)?;
            let answers = entries
                .into_iter()
                .map(|entry| web.answer(&room, &caller, &witness, entry));
            let answers = join_all(answers).await;
            let text = batch_json(answers, BATCH_ANSWERS_MAX * limits.answer_bytes);
            Ok(match text {
                Some(text) => held_json(text, [permit, more]),
                None => StatusCode::NO_CONTENT.into_response(),
            })
        }
    }
}

impl Web {
    /// Where the request goes, and who asks.
    fn admit(
        &self,
        profile: &str,
        chain: &str,
        headers: &HeaderMap,
    ) -> Result<(Arc<Room>, Caller), Refused> {
        let not_found = || {
            let message = "there is no such profile and chain";
            Refused::new(StatusCode::NOT_FOUND, NOT_FOUND, message)
        };
        let (Ok(profile), Ok(chain)) = (Segment::new(profile), Segment::new(chain)) else {
            return Err(not_found());
        };
        let unknown = |_| {
            let message = "this key is not known in this profile";
            Refused::new(StatusCode::UNAUTHORIZED, REFUSED, message)
        };
        let bearer = self.keys.bearer(&profile, headers).map_err(unknown)?;
        let caller = Caller {
            profile: profile.clone(),
            bearer,
        };
        let room = self.service.room(&Place { profile, chain });
        Ok((room.ok_or_else(not_found)?.clone(), caller))
    }

    /// The answer to one request; `None` to a notification.
    async fn answer(
        &self,
        room: &Arc<Room>,
        caller: &Caller,
        witness: &Witness,
        entry: Entry,
    ) -> Option<Answer> {
        match entry {
            Entry::Wrong(answer) => Some(answer),
            Entry::Call(call) => {
                let said = self.service.ask(room, caller, witness, &call).await;
                call.id.map(|id| Answer::new(Some(id), said))
            }
        }
    }
}

/// Reads a body of at most so many bytes.
async fn read(body: Body, max: usize) -> Result<Bytes, Refused> {
    let whole = Limited::new(body, max).collect();
    match tokio::time::timeout(BODY_TIME, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body is larger than {max} bytes, which is the most");
            Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                LIMIT_EXCEEDED,
                message,
            ))
        }
        Ok(Err(_)) => {
            let message = "the body broke off";
            Err(Refused::new(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                message,
            ))
        }
        Err(_) => {
            let message = format!("the body did not come within {} s", BODY_TIME.as_secs());
            Err(Refused::new(
                StatusCode::REQUEST_TIMEOUT,
                INVALID_REQUEST,
                message,
            ))
        }
    }
}

/// The answers of a batch, of which at most so many bytes are whole: what comes after that is told
/// to be too much. `None` where nothing is to be answered.
fn batch_json(answers: Vec<Option<Answer>>, bytes_max: usize) -> Option<String> {
    let mut text = String::new();
    for answer in answers.into_iter().flatten() {
        let whole = answer.to_json();
        text.push(if text.is_empty() { '[' } else { ',' });
        if text.len() + whole.len() <= bytes_max {
            text += &whole;
        } else {
            let message = format!("the answers are larger than {bytes_max} bytes; ask for less");
            text += &answer.instead(LIMIT_EXCEEDED, message).to_json();
        }
    }
    (!text.is_empty()).then(|| text + "]")
}

/// An answer that keeps its places among the requests until the client has taken nearly all of it.
fn held_json(text: String, permits: impl Send + 'static) -> Response {
    let length = HeaderValue::from(text.len());
    let parts = stream::unfold((Bytes::from(text), permits), |(mut left, permits)| async {
        let part = left.split_to(left.len().min(PART_BYTES));
        (!part.is_empty()).then_some((Ok::<_, Infallible>(part), (left, permits)))
    });
    let mut response = answer(StatusCode::OK, Body::from_stream(parts));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, length);
    response
}

/// For a body to come: a place is held meanwhile.
const BODY_TIME: Duration = Duration::from_secs(5);
/// All answers of a batch together are at most so many times as long as one may be.
const BATCH_ANSWERS_MAX: usize = 4;
/// An answer goes to the connection in parts of this, so that one which is not taken is not given back.
const PART_BYTES: usize = 64 << 10;
