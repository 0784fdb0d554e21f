//! What viewers get: a profile's live events, as server-sent events.
//!
//! `GET /events?profile=` with an account's key shows that account's events, with the operator's key
//! those of the whole profile without accounts, or with `&account=` those of one. First comes a
//! `snapshot`, then a `batch` twice a second at most, and a `heartbeat` where there was nothing else for
//! 2 s. A viewer that reads too slowly loses the oldest, and is told how many.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lasso::events::{Changes, Delivery, ScopeError, ViewError, Viewer};
use lasso::http::Endless;
use lasso::{Cluster, Pass, Scope, Segment};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::keys::{Bearer, Keys};
use super::settings::Settings;

/// What every request needs.
#[derive(Clone)]
struct Live {
    cluster: Cluster,
    settings: Arc<Settings>,
    keys: Arc<Keys>,
    /// Places of viewers that are free.
    places: Arc<Semaphore>,
}

#[derive(Deserialize)]
struct Asked {
    profile: String,
    account: Option<String>,
}

/// The routes.
pub(crate) fn router(settings: Arc<Settings>, keys: Arc<Keys>, cluster: &Cluster) -> Router {
    let live = Live {
        cluster: cluster.clone(),
        keys,
        places: Arc::new(Semaphore::new(settings.limits.viewers)),
        settings,
    };
    Router::new().route("/events", get(events)).with_state(live)
}

/// A refusal, in JSON.
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Refused(status, error) = self;
        let body = json!({ "error": error }).to_string();
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        let mut response = (status, headers, body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let seconds = header::HeaderValue::from_static("10");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}

async fn events(
    State(live): State<Live>,
    asked: Result<Query<Asked>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let Query(asked) =
        asked.map_err(|rejection| Refused(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let (profile, pass, scope) = live.let_in(asked, &headers)?;
    let full = |_| {
        Refused(
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no place for one more viewer".into(),
        )
    };
    let place = live.places.clone().try_acquire_owned().map_err(full)?;
    let chains = live.settings.profiles[&profile].chains.keys().cloned();
    let viewer = live
        .cluster
        .events(profile)
        .chains(chains)
        .viewer(&pass, scope);
    let viewer = viewer.map_err(|error| {
        let status = match error {
            ViewError::Scope(ScopeError::NotYours) => StatusCode::FORBIDDEN,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Refused(status, error.to_string())
    })?;
    let mut response = Sse::new(futures_util::stream::unfold(
        Watching {
            viewer,
            began: false,
            _place: place,
        },
        Watching::next,
    ))
    .into_response();
    response.extensions_mut().insert(Endless);
    Ok(response)
}

impl Live {
    /// Who asks, and what is shown to them.
    fn let_in(&self, asked: Asked, headers: &HeaderMap) -> Result<(Segment, Pass, Scope), Refused> {
        let unknown = |text: &str| Refused(StatusCode::UNAUTHORIZED, text.into());
        let nothing = || Refused(StatusCode::NOT_FOUND, "there is no such profile".into());
        let profile = Segment::new(&asked.profile).map_err(|_| nothing())?;
        let bearer = self.keys.bearer(&profile, headers);
        let bearer = bearer.map_err(|_| unknown("this key is not known in this profile"))?;
        let (pass, own) = match bearer {
            Bearer::Operator => (Pass::operator(profile.clone()), None),
            Bearer::Account(account) => (
                Pass::account(profile.clone(), account.clone()),
                Some(account),
            ),
            Bearer::Nobody => {
                return Err(unknown(
                    "X-Api-Key has to be an account's key or the operator's; PROXY_OPERATOR_KEY sets that",
                ));
            }
        };
        if !self.settings.profiles.contains_key(&profile) {
            return Err(nothing());
        }
        let asked = asked.account.map(|account| Segment::new(&account));
        let asked = asked
            .transpose()
            .map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))?;
        // An account that asks for another's is refused where the viewer is opened.
        let scope = asked.or(own).map_or(Scope::Profile, Scope::Account);
        Ok((profile, pass, scope))
    }
}

/// A viewer, with its place.
struct Watching {
    viewer: Viewer,
    /// The snapshot has gone.
    began: bool,
    _place: OwnedSemaphorePermit,
}

impl Watching {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        let delivery = self.viewer.recv().await?;
        let name = match (
            std::mem::replace(&mut self.began, true),
            delivery.is_heartbeat(),
        ) {
            (false, _) => "snapshot",
            (true, false) => "batch",
            (true, true) => "heartbeat",
        };
        let event = Event::default().event(name).data(text(&delivery));
        Some((Ok(event), self))
    }
}

/// A delivery as JSON, in one line.
fn text(delivery: &Delivery) -> String {
    let events: Vec<_> = delivery.events.iter().map(|event| &**event).collect();
    json!({
        "lost": delivery.lost,
        "events": events,
        "states": changes(&delivery.states, |event| json!(**event)),
        "figures": changes(&delivery.figures, |figures| json!(figures)),
        "coverage": delivery.coverage.as_deref(),
    })
    .to_string()
}

/// Changes of a table; keys are objects, so it is a list.
fn changes<K: Serialize, V>(changes: &Changes<K, V>, value: impl Fn(&V) -> Value) -> Value {
    let changed = changes.changed.iter();
    let changed: Vec<Value> = changed
        .map(|(key, new)| json!({ "key": key, "value": value(new) }))
        .collect();
    json!({ "whole": changes.whole, "changed": changed, "gone": changes.gone })
}
