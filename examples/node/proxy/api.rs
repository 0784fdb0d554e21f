//! What all nodes have counted, as JSON: `GET /api/leaderboard`, `/api/realtime`, `/api/methods`,
//! `/api/breakdown`, each with `?profile=&chain=`.
//!
//! An answer comes from what this node has gathered before, and says how old it is, what that is worth,
//! and how much of the cluster it speaks for. Where there is none yet, `wait=` says for how long to wait
//! for the first; after that it is `loading`, and there by the next question.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lasso::config::duration;
use lasso::metrics::{
    AllMethods, AnswerCoverage, Breakdown, Leaderboard, MethodKey, MethodPerformance, ProviderKey,
    Readout, Realtime,
};
use lasso::{Cluster, Segment, log, metrics};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::warn;

use super::keys::{Bearer, Keys};
use super::methods;
use super::refusal::{Asking, Refusal};
use super::settings::Settings;

/// What every request needs.
#[derive(Clone)]
struct Api {
    cluster: Cluster,
    settings: Arc<Settings>,
    keys: Arc<Keys>,
}

/// What is asked of a chain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfChain {
    profile: String,
    chain: String,
    wait: Option<String>,
}

/// What is asked of the methods of a chain.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMethods {
    profile: String,
    chain: String,
    method: Option<String>,
    wait: Option<String>,
}

/// A question that may be asked.
struct Question {
    key: ProviderKey,
    wait: Duration,
}

/// The routes.
pub(crate) fn router(settings: Arc<Settings>, keys: Arc<Keys>, cluster: &Cluster) -> Router {
    let api = Api {
        cluster: cluster.clone(),
        settings,
        keys,
    };
    Router::new()
        .route("/api/leaderboard", get(leaderboard))
        .route("/api/realtime", get(realtime))
        .route("/api/methods", get(methods))
        .route("/api/breakdown", get(breakdown))
        .with_state(api)
}

async fn leaderboard(
    State(api): State<Api>,
    asked: Asking<OfChain>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Question { key, wait } = api.question(asked?.0, &headers)?;
    api.answer::<Leaderboard>(&key, wait).await
}

async fn realtime(
    State(api): State<Api>,
    asked: Asking<OfChain>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Question { key, wait } = api.question(asked?.0, &headers)?;
    api.answer::<Realtime>(&key, wait).await
}

/// By provider, by method, and by both.
async fn breakdown(
    State(api): State<Api>,
    asked: Asking<OfChain>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let Question { key, wait } = api.question(asked?.0, &headers)?;
    api.answer::<Breakdown>(&key, wait).await
}

/// All methods, or with `&method=` the providers for one.
async fn methods(
    State(api): State<Api>,
    asked: Asking<OfMethods>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let OfMethods {
        profile,
        chain,
        method,
        wait,
    } = asked?.0;
    let of_chain = OfChain {
        profile,
        chain,
        wait,
    };
    let Question { key, wait } = api.question(of_chain, &headers)?;
    let Some(method) = method else {
        return api.answer::<AllMethods>(&key, wait).await;
    };
    let ProviderKey { profile, chain } = key;
    let method = methods::counted_as(&method).to_owned();
    let key = MethodKey {
        profile,
        chain,
        method,
    };
    api.answer::<MethodPerformance>(&key, wait).await
}

impl Api {
    /// What is asked, if it is there and whoever asks may know.
    fn question(&self, asked: OfChain, headers: &HeaderMap) -> Result<Question, Refusal> {
        let nothing = || {
            Refusal(
                StatusCode::NOT_FOUND,
                "there is no such profile and chain".into(),
            )
        };
        let profile = Segment::new(&asked.profile).map_err(|_| nothing())?;
        let bearer = self.keys.bearer(&profile, headers);
        match bearer {
            Ok(Bearer::Operator) => {}
            Ok(Bearer::Nobody) if self.keys.is_empty() => {}
            // Figures are made of the calls of all accounts.
            Ok(Bearer::Account(_)) => {
                let text = "figures are of a whole profile, and shown to its operator alone";
                return Err(Refusal(StatusCode::FORBIDDEN, text.into()));
            }
            Ok(Bearer::Nobody) | Err(_) => {
                let text = "X-Api-Key has to be the operator's key";
                return Err(Refusal(StatusCode::UNAUTHORIZED, text.into()));
            }
        }
        let chains = self
            .settings
            .profiles
            .get(&profile)
            .map(|profile| &profile.chains);
        let chain = Segment::new(&asked.chain).map_err(|_| nothing())?;
        if !chains.is_some_and(|chains| chains.contains_key(&chain)) {
            return Err(nothing());
        }
        let wait = match asked.wait {
            None => WAIT,
            Some(text) => wait(&text)?,
        };
        Ok(Question {
            key: ProviderKey {
                profile: profile.to_string(),
                chain: chain.to_string(),
            },
            wait,
        })
    }

    async fn answer<Q: metrics::Query>(
        &self,
        key: &Q::Key,
        wait: Duration,
    ) -> Result<Response, Refusal>
    where
        Q::Answer: Serialize,
    {
        let readout = self.cluster.metrics().get_or_wait::<Q>(key, wait).await;
        let readout = readout.map_err(|error| {
            let error = error.to_string();
            log::bounded(&self.cluster, "question_refused", "", move || {
                let error = log::shown(&error);
                warn!(%error, "a question about figures was refused");
            });
            let text = "figures cannot be asked for here";
            Refusal(StatusCode::INTERNAL_SERVER_ERROR, text.into())
        })?;
        let headers = [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
        ];
        Ok((headers, text(key, &readout)).into_response())
    }
}

/// How long whoever asks wants to wait for a first answer.
fn wait(text: &str) -> Result<Duration, Refusal> {
    let accepted = "accepted: up to `10s`, as `500ms`, `8s`";
    match duration(text) {
        Ok(wait) if wait <= WAIT_MAX => Ok(wait),
        Ok(_) => Err(Refusal::bad(format!(
            "wait: `{text}` is too long; {accepted}"
        ))),
        Err(problem) => Err(Refusal::bad(format!("wait: {problem}; {accepted}"))),
    }
}

fn text<A: Serialize + 'static>(key: &impl Serialize, readout: &Readout<A>) -> String {
    json!({
        "of": key,
        "freshness": readout.freshness,
        "age_ms": readout.age.as_millis() as u64,
        "coverage": readout.coverage().map(coverage),
        "failed_refreshes": readout.failure().map_or(0, |failure| failure.count),
        "answer": readout.value(),
    })
    .to_string()
}

fn coverage(coverage: &AnswerCoverage) -> Value {
    let failed = coverage.failed.iter();
    let failed = failed.map(|(node, why)| json!({ "node": node, "why": why.to_string() }));
    json!({
        "responding": coverage.responding,
        "total": coverage.total,
        "failed": failed.collect::<Vec<_>>(),
        "took_ms": coverage.took.as_millis() as u64,
    })
}

/// How long a first answer is waited for where nothing is said: longer than healthy nodes take.
const WAIT: Duration = Duration::from_secs(2);
/// The longest that somebody may wait.
const WAIT_MAX: Duration = Duration::from_secs(10);
