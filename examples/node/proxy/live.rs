//! What viewers get: a profile's live events, as server-sent events.
//!
//! `GET /events?profile=` with an account's key shows that account's events, with the operator's key
//! those of the whole profile without accounts, or with `&account=` those of one. First comes a
//! `snapshot`, then a `batch` twice a second at most, and a `heartbeat` where there was nothing else for
//! 2 s. A viewer that reads too slowly loses the oldest, and is told how many.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use lasso::events::{Changes, Delivery, Providers, RoutingEvent, ScopeError, ViewError, Viewer};
use lasso::http::Endless;
use lasso::{Cluster, Pass, Scope, Segment, log};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use super::admission::{Caller, Full, Gate, Permit, Places};
use super::keys::{Bearer, Keys};
use super::refusal::{Asking, Refusal, answer};
use super::service::clock;
use super::settings::Settings;
use super::tickets::{LIFE, Tickets};

/// What every request needs.
#[derive(Clone)]
struct Live {
    cluster: Cluster,
    settings: Arc<Settings>,
    keys: Arc<Keys>,
    /// Where viewers get their places.
    gate: Gate,
    tickets: Arc<Mutex<Tickets>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    profile: String,
    account: Option<String>,
    ticket: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedForTicket {
    profile: String,
}

/// The routes.
pub(crate) fn router(
    settings: Arc<Settings>,
    keys: Arc<Keys>,
    tickets: Arc<Mutex<Tickets>>,
    cluster: &Cluster,
) -> Router {
    let limits = &settings.limits;
    let kept = if keys.has_operator() {
        limits.viewers / KEPT_ONE_IN
    } else {
        0
    };
    let live = Live {
        cluster: cluster.clone(),
        keys,
        tickets,
        gate: Gate::new(Places {
            all: limits.viewers,
            caller: limits.viewers_per_account,
            kept,
        }),
        settings,
    };
    Router::new()
        .route("/events", get(events))
        .route("/events/ticket", post(ticket))
        .with_state(live)
}

async fn events(
    State(live): State<Live>,
    asked: Asking<Asked>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (caller, pass, scope) = live.let_in(asked?.0, &headers)?;
    let permit = live.gate.enter(&caller, 1).map_err(no_place)?;
    let Caller { profile, .. } = caller;
    let chains = live.settings.profiles[&profile].chains.keys().cloned();
    let shows_methods = scope == Scope::Profile;
    let viewer = live
        .cluster
        .events(profile)
        .chains(chains)
        .viewer(&pass, scope)
        .await
        .map_err(|error| refused(&live.cluster, error))?;
    let mut response = Sse::new(futures_util::stream::unfold(
        Watching {
            viewer,
            providers: Providers::new(),
            shows_methods,
            began: false,
            _permit: permit,
        },
        Watching::next,
    ))
    .into_response();
    // nginx would keep events until it has a few KiB of them.
    let at_once = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", at_once);
    response.extensions_mut().insert(Endless);
    Ok(response)
}

/// A ticket, in exchange for a key.
async fn ticket(
    State(live): State<Live>,
    asked: Asking<AskedForTicket>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let profile = asked?.0.profile;
    let profile = Segment::new(&profile).map_err(|_| no_profile())?;
    let bearer = live.bearer(&profile, &headers)?;
    if !live.settings.profiles.contains_key(&profile) {
        return Err(no_profile());
    }
    let mut drawn = [0; 32];
    getrandom::fill(&mut drawn).map_err(|_| {
        let text = "the system gives no randomness";
        Refusal(StatusCode::INTERNAL_SERVER_ERROR, text.into())
    })?;
    let caller = Caller { profile, bearer };
    let given = live.tickets.lock().give(clock(), caller, &drawn);
    let ticket = given.map_err(|_| {
        let text = "there is no room for one more ticket; try again later";
        Refusal(StatusCode::SERVICE_UNAVAILABLE, text.into())
    })?;
    let expires_in_ms = LIFE.as_millis() as u64;
    let body = json!({ "ticket": ticket, "expires_in_ms": expires_in_ms });
    Ok(answer(StatusCode::OK, body.to_string()))
}

impl Live {
    /// Whose key came with a request.
    fn bearer(&self, profile: &Segment, headers: &HeaderMap) -> Result<Bearer, Refusal> {
        match self.keys.bearer(profile, headers) {
            Ok(Bearer::Nobody) => Err(unknown(KEY)),
            Ok(bearer) => Ok(bearer),
            Err(_) => Err(unknown("this key is not known in this profile")),
        }
    }

    /// Who asks, and what is shown to them.
    fn let_in(&self, asked: Asked, headers: &HeaderMap) -> Result<(Caller, Pass, Scope), Refusal> {
        let profile = Segment::new(&asked.profile).map_err(|_| no_profile())?;
        let bearer = match &asked.ticket {
            None => self.bearer(&profile, headers)?,
            Some(ticket) => {
                let caller = self.tickets.lock().take(clock(), ticket);
                let caller = caller.filter(|caller| caller.profile == profile);
                let text = "this ticket is none of this profile at this node, was used, or is too old; \
                    POST /events/ticket gives another";
                caller.ok_or_else(|| unknown(text))?.bearer
            }
        };
        let (pass, own) = match &bearer {
            Bearer::Operator => (Pass::operator(profile.clone()), None),
            Bearer::Account(account) => (
                Pass::account(profile.clone(), account.clone()),
                Some(account.clone()),
            ),
            Bearer::Nobody => return Err(unknown(KEY)),
        };
        if !self.settings.profiles.contains_key(&profile) {
            return Err(no_profile());
        }
        let asked = asked.account.map(|account| Segment::new(&account));
        let asked = asked
            .transpose()
            .map_err(|error| Refusal::bad(format!("account: {error}")))?;
        // An account that asks for another's is refused where the viewer is opened.
        let scope = asked.or(own).map_or(Scope::Profile, Scope::Account);
        Ok((Caller { profile, bearer }, pass, scope))
    }
}

/// What has to come with a request that brings no ticket.
const KEY: &str =
    "X-Api-Key has to be an account's key or the operator's; PROXY_OPERATOR_KEY sets that";

fn unknown(text: &str) -> Refusal {
    Refusal(StatusCode::UNAUTHORIZED, text.into())
}

fn no_profile() -> Refusal {
    Refusal(StatusCode::NOT_FOUND, "there is no such profile".into())
}

fn no_place(full: Full) -> Refusal {
    match full {
        Full::Caller => too_many_of_yours(),
        Full::Node => no_room(),
    }
}

fn too_many_of_yours() -> Refusal {
    let text = "your account has as many viewers here as it may have; close one first";
    Refusal(StatusCode::TOO_MANY_REQUESTS, text.into())
}

fn no_room() -> Refusal {
    let text = "there is no place for one more viewer; try again later";
    Refusal(StatusCode::SERVICE_UNAVAILABLE, text.into())
}

/// What a client is told, and the operator where he has to mend it.
fn refused(cluster: &Cluster, error: ViewError) -> Refusal {
    if let ViewError::Scope(ScopeError::TooManyChains { .. }) = &error {
        let error = error.to_string();
        log::bounded(cluster, "viewer_refused", "", move || {
            let error = log::shown(&error);
            warn!(%error, "a viewer was refused: `events.chains_max` is below the chains of a profile");
        });
    }
    refusal(error)
}

/// What whoever asks is told; which bound it is and how many others look is not theirs to know.
fn refusal(error: ViewError) -> Refusal {
    match error {
        ViewError::Scope(ScopeError::NotYours) => {
            Refusal(StatusCode::FORBIDDEN, ScopeError::NotYours.to_string())
        }
        ViewError::Scope(ScopeError::TooManyOfAccount { .. }) => too_many_of_yours(),
        ViewError::Scope(
            ScopeError::TooManyViewers { .. }
            | ScopeError::TooManyScopes { .. }
            | ScopeError::TooManyProfiles(_),
        )
        | ViewError::Subscribe(_)
        | ViewError::Ended => no_room(),
        // Trying again mends nothing: the operator has to.
        ViewError::Scope(ScopeError::TooManyChains { .. }) => {
            let text = "this profile has more chains than this node can show";
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, text.into())
        }
    }
}

/// Of the places for viewers one in so many is kept for the operator, where there is one.
const KEPT_ONE_IN: usize = 8;

/// A viewer, with its place.
struct Watching {
    viewer: Viewer,
    /// What its states say so far.
    providers: Providers,
    /// Which methods a provider serves most: of all accounts, so that an account is not shown it.
    shows_methods: bool,
    /// The snapshot has gone.
    began: bool,
    _permit: Permit,
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
        let event = Event::default().event(name).data(self.text(&delivery));
        Some((Ok(event), self))
    }

    /// A delivery as JSON, in one line.
    fn text(&mut self, delivery: &Delivery) -> String {
        let events: Vec<_> = delivery.events.iter().map(|event| &**event).collect();
        let mut providers = self.providers.apply(&delivery.states);
        let shows_methods = self.shows_methods;
        if !shows_methods {
            providers.iter_mut().for_each(|row| row.methods.clear());
        }
        let state = |event: &Arc<RoutingEvent>| match &**event {
            RoutingEvent::Health(health) if !shows_methods => {
                let mut health = health.clone();
                health.methods.clear();
                json!(RoutingEvent::Health(health))
            }
            event => json!(event),
        };
        json!({
            "lost": delivery.lost,
            "events": events,
            "states": changes(&delivery.states, state),
            "providers": providers,
            "figures": changes(&delivery.figures, |figures| json!(figures)),
            "coverage": delivery.coverage.as_deref(),
        })
        .to_string()
    }
}

/// Changes of a table; keys are objects, so it is a list.
fn changes<K: Serialize, V>(changes: &Changes<K, V>, value: impl Fn(&V) -> Value) -> Value {
    let changed = changes.changed.iter();
    let changed: Vec<Value> = changed
        .map(|(key, new)| json!({ "key": key, "value": value(new) }))
        .collect();
    json!({ "whole": changes.whole, "changed": changed, "gone": changes.gone })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_has_a_status_of_its_own_and_tells_no_bound() {
        let name = |text| Segment::new(text).unwrap();
        let (profile, account, max) = (name("a-profile"), name("an-account"), 777);
        for (error, status) in [
            (ScopeError::NotYours, StatusCode::FORBIDDEN),
            (
                ScopeError::TooManyOfAccount { account, max },
                StatusCode::TOO_MANY_REQUESTS,
            ),
            (
                ScopeError::TooManyViewers {
                    profile: profile.clone(),
                    max,
                },
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                ScopeError::TooManyScopes {
                    profile: profile.clone(),
                    max,
                },
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                ScopeError::TooManyProfiles(max),
                StatusCode::SERVICE_UNAVAILABLE,
            ),
            (
                ScopeError::TooManyChains { profile, max },
                StatusCode::INTERNAL_SERVER_ERROR,
            ),
        ] {
            let Refusal(told, text) = refusal(error.clone().into());
            assert_eq!(told, status, "{error}");
            let silent = !text.contains("777") && !text.contains("an-account");
            assert!(silent, "{text}");
        }
    }
}
