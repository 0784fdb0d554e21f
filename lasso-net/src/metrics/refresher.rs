//! The task that keeps a node's answers: it alone drives the store, and whoever reads waits for
//! nothing that it does.

use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Arc;

use bytes::Bytes;
use lasso_core::metrics::service::{Errand, METHOD, Responders, Service, Subject, Value};
use lasso_core::metrics::store::{Brought, Change, RefreshId};
use lasso_core::name::NodeName;
use lasso_core::plane::{Answer, CallError, Reject};
use lasso_core::time::Instant;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::state::State;
use crate::Cluster;
use crate::log;
use crate::messaging::{CallOptions, RawCallMany};
use crate::shared::Shared;

/// Answers the others' refreshes, and begins refreshing.
pub(crate) fn start(cluster: &Cluster, wished: mpsc::Receiver<Subject>) {
    let shared = cluster.shared();
    let state = Arc::clone(&shared.metrics);
    let serving = cluster.serve_as(METHOD, move |question, _| {
        let answer = state.registry().answer(state.now(), &question);
        if let Answer::Rejected(reject) = &answer
            && reject.code == Reject::CODE_NODE
        {
            let reject = reject.to_string();
            state.lines().say("question_failed", "", move || {
                let reject = log::shown(&reject);
                tracing::error!(%reject, "a question of another node is not answered");
            });
        }
        Box::pin(core::future::ready(answer))
    });
    serving
        .expect("the first method of a node that has not stopped")
        .forever();
    shared.spawn(run(Arc::clone(shared), wished));
}

type Finished = (RefreshId, Brought<Value>);

async fn run(shared: Arc<Shared>, mut wished: mpsc::Receiver<Subject>) {
    let state = Arc::clone(&shared.metrics);
    let mut stopped = shared.stopped.subscribe();
    let mut service = Service::new(state.settings.clone());
    let refreshes_max = state.settings.store.refreshes_max;
    let (brings, mut finished) = mpsc::channel::<Finished>(refreshes_max);
    let mut changes = Vec::new();
    loop {
        let now = shared.now();
        catch_up(&mut service, &state, now);
        let watched = state.watches.lock().poll_keys();
        if let Some(watched) = watched {
            service.watch_only(now, watched, &mut changes);
        }
        service.tick(now, &mut changes);
        state.show(&mut changes);
        while let Some(errand) = service.poll_refresh(now, || Responders::of(&shared.node.lock())) {
            shared.spawn(gather(Arc::clone(&shared), errand, brings.clone()));
        }
        *state.counters.lock() = *service.counters();
        let due = shared.at(service.deadline().unwrap_or(Instant::FAR_FUTURE));
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = state.stirred.notified() => {}
            Some((id, brought)) = finished.recv() => {
                finish(&mut service, &state, shared.now(), (id, brought), &mut changes);
            }
            Some(subject) = wished.recv() => {
                let now = shared.now();
                want(&mut service, &state, now, &subject, &mut changes);
                // Many wish for the same at once.
                for _ in 0..WISHES_AT_ONCE {
                    let Ok(subject) = wished.try_recv() else { break };
                    want(&mut service, &state, now, &subject, &mut changes);
                }
            }
            () = sleep_until(due) => {}
        }
    }
}

/// Brings the service to the generation that readers see. Right before it judges anything: the
/// generation grows before the refresher is woken for it, and what is finished or wished in between
/// would else pass for fresh, and not be refreshed again.
fn catch_up(service: &mut Service, state: &State, now: Instant) {
    let generation = service.generation();
    while service.generation() < state.generation() {
        service.membership_changed(now);
    }
    if service.generation() > generation {
        // What is shown is worth less than before.
        state.shown.send_replace(());
    }
}

fn finish(
    service: &mut Service,
    state: &State,
    now: Instant,
    (id, brought): Finished,
    changes: &mut Vec<Change<Subject, Value>>,
) {
    catch_up(service, state, now);
    service.finish(now, id, brought, changes);
}

fn want(
    service: &mut Service,
    state: &State,
    now: Instant,
    subject: &Subject,
    changes: &mut Vec<Change<Subject, Value>>,
) {
    catch_up(service, state, now);
    service.want(now, subject, changes);
}

/// Carries out one errand.
async fn gather(shared: Arc<Shared>, errand: Errand, finish: mpsc::Sender<Finished>) {
    let outcomes = if errand.to().is_empty() {
        Vec::new()
    } else {
        let timeout = Some(errand.timeout());
        let options = CallOptions { timeout };
        let (to, question) = (errand.to().to_vec(), errand.question());
        let calls = RawCallMany::begin(&shared, &to, METHOD, question, options);
        match calls.await {
            Ok(answers) => answers.outcomes,
            Err(error) => to
                .into_iter()
                .map(|node| (node, Err(error.clone())))
                .collect(),
        }
    };
    let brought = merge(&shared, errand.clone(), outcomes).await;
    let brought = brought.unwrap_or_else(|| errand.nothing());
    if !brought.own {
        let (query, failed) = (errand.subject().query(), brought.failed.clone());
        shared.lines.say("own_part_lacks", query, move || {
            tracing::error!(query, ?failed, "an answer lacks this node's own part");
        });
    }
    // The refresher is there until the node has stopped.
    let _ = finish.send((errand.id(), brought)).await;
}

/// Reads and merges the parts where no task waits for it: a member's part may have millions of elements. `None` when
/// that panicked, or there is no thread for it.
async fn merge(
    shared: &Shared,
    errand: Errand,
    outcomes: Vec<(NodeName, Result<Bytes, CallError>)>,
) -> Option<Brought<Value>> {
    let (bring, brought) = oneshot::channel();
    let now = shared.now();
    let work = move || {
        // An application's query is code of its own: it costs its answer, not the others'.
        let merged = catch_unwind(AssertUnwindSafe(|| errand.merge(now, outcomes)));
        // The refresher may have stopped.
        let _ = bring.send(merged.ok());
    };
    // Without a thread the work is dropped, which the receiver notices.
    let _ = catch_unwind(AssertUnwindSafe(|| shared.aside(work)));
    brought.await.ok().flatten()
}

/// Wishes taken before what they lead to is begun.
const WISHES_AT_ONCE: usize = 256;

#[cfg(test)]
mod tests {
    use lasso_core::metrics::queries::{Leaderboard, ProviderKey};
    use lasso_core::metrics::service::MetricsSettings;

    use super::*;

    fn alone() -> Responders {
        Responders {
            me: "app@10.0.0.1".parse().expect("a name"),
            others: Vec::new(),
            total: 1,
        }
    }

    #[test]
    fn what_comes_before_the_refresher_wakes_is_judged_by_the_new_generation() {
        let now = Instant::ZERO;
        let clock = Box::new(|| Instant::ZERO);
        let lines = Arc::new(log::Lines::new(clock.clone(), |line| line()));
        let (state, _wished) = State::new(MetricsSettings::default(), 1, clock, lines);
        let (mut service, mut changes) = (Service::new(state.settings.clone()), Vec::new());
        let key = ProviderKey {
            profile: "free".into(),
            chain: "ethereum".into(),
        };
        let registry = state.registry();
        let subject = registry.subject::<Leaderboard>(&key).expect("a good key");
        want(&mut service, &state, now, &subject, &mut changes);
        let errand = service.poll_refresh(now, alone).expect("it is wanted");
        state.membership_changed();
        let brought = (errand.id(), errand.merge(now, Vec::new()));
        finish(&mut service, &state, now, brought, &mut changes);
        assert_eq!(service.counters().overtaken, 1);
        let again = service.poll_refresh(now, alone).expect("one more");
        let brought = (again.id(), again.merge(now, Vec::new()));
        finish(&mut service, &state, now, brought, &mut changes);
        assert!(service.poll_refresh(now, alone).is_none());
        // A reader sees a stale answer at once, and its wish must not meet a fresh one.
        state.membership_changed();
        want(&mut service, &state, now, &subject, &mut changes);
        assert!(service.poll_refresh(now, alone).is_some());
    }
}
