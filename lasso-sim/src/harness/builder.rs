//! The builder of a test.

use core::fmt;
use core::future::Future;
use core::ops::RangeInclusive;
use core::panic::Location;
use std::sync::Arc;

use lasso_net::Cluster;

use super::ending::Ending;
use super::environment::Environment;
use super::hooks::{Begin, Deed, Hook, When, place};
use super::node::Node;
use super::report::{Failed, Report};
use super::seeds;
use super::snapshot::Snapshot;
use super::source::Source;

/// A test that has a scenario and no application yet.
///
/// Made by [`scenario`](fn@crate::scenario) and [`scenario_text`](crate::scenario_text).
#[must_use = "give it an application, then call `check`"]
pub struct Setup<S = ()> {
    source: Source,
    make: Arc<dyn Fn() -> S + Send + Sync>,
}

impl Setup {
    pub(super) fn new(source: Source) -> Self {
        Setup {
            source,
            make: Arc::new(|| ()),
        }
    }

    /// Keeps a state for each node, which `make` creates for each run. The application accesses it with
    /// [`Node::state`], and checks with [`Snapshot::node`] and [`Snapshot::states`].
    ///
    /// The state survives restarts of its node, as a disk does. At its start the application itself must reset the parts that
    /// a process would forget.
    pub fn state<S>(self, make: impl Fn() -> S + Send + Sync + 'static) -> Setup<S> {
        Setup {
            source: self.source,
            make: Arc::new(make),
        }
    }
}

impl<S: Send + Sync + 'static> Setup<S> {
    /// Runs this on each node, again at each start of its process.
    ///
    /// When the process ends, by `stop`, `crash`, `vanish` or `restart`, the future is dropped at once. While the
    /// process is frozen, nothing polls the future. When it returns, the node continues without it. An error that it
    /// returns fails the run, unless its node was told to stop before. A panic in any of its tasks and handlers fails
    /// the run.
    #[track_caller]
    pub fn application<F, W>(self, application: F) -> Harness<S>
    where
        F: Fn(Cluster, Node<S>) -> W + Send + Sync + 'static,
        W: Future + 'static,
        W::Output: Ending,
    {
        Harness {
            source: self.source,
            make: self.make,
            application: begin(application),
            place: place(Location::caller()),
            seeds: SEEDS,
            hooks: Vec::new(),
        }
    }
}

impl<S> fmt::Debug for Setup<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// A test of an application: how often it runs, what it does and what it checks.
///
/// Times are written as in scenario files: `"500ms"`, `"8s"`, `"1m30s"`, counted from the start of the scenario. At
/// one moment the steps of the file run first, then checks and acts in the order in which the test adds them,
/// then the expectations of the file.
#[must_use = "it runs when `check` is called"]
pub struct Harness<S = ()> {
    pub(super) source: Source,
    pub(super) make: Arc<dyn Fn() -> S + Send + Sync>,
    pub(super) application: Begin<S>,
    pub(super) place: String,
    pub(super) seeds: RangeInclusive<u64>,
    pub(super) hooks: Vec<Hook<S>>,
}

impl<S: Send + Sync + 'static> Harness<S> {
    /// Runs the scenario once with each of these seeds. By default 1 to 5.
    ///
    /// The environment variables `LASSO_SEED` and `LASSO_SEEDS` override it.
    pub fn seeds(mut self, seeds: RangeInclusive<u64>) -> Self {
        self.seeds = seeds;
        self
    }

    /// Inspects all nodes at a time. The run fails when `check` returns an error or panics.
    #[track_caller]
    pub fn check_at<R: Ending>(
        self,
        at: &str,
        check: impl Fn(&Snapshot<S>) -> R + Send + Sync + 'static,
    ) -> Self {
        let title = format!("check_at({at:?})");
        self.with_check(When::At(at.to_owned()), title, check)
    }

    /// Like [`Harness::check_at`], `delay` after the step that has this `label` in the file. `"0s"`: at the step.
    #[track_caller]
    pub fn check_after<R: Ending>(
        self,
        label: &str,
        delay: &str,
        check: impl Fn(&Snapshot<S>) -> R + Send + Sync + 'static,
    ) -> Self {
        let title = format!("check_after({label:?}, {delay:?})");
        self.with_check(after(label, delay), title, check)
    }

    /// Like [`Harness::check_at`], at the end of the run, after all steps, acts and expectations. If no fault affects any
    /// node by then, all nodes agree on the members.
    #[track_caller]
    pub fn check_end<R: Ending>(
        self,
        check: impl Fn(&Snapshot<S>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.with_check(When::End, "check_end".to_owned(), check)
    }

    /// Does something on a node at a time, in a task of the node: a request of a client, for instance. The run fails
    /// when it returns an error or panics, when the node does not run at that time, or when the act has not ended a
    /// minute after the end of the scenario. An act whose node ends before it is dropped; this is no failure.
    ///
    /// ```no_run
    /// # let harness = lasso_sim::scenario("tests/cut.toml").application(|_, _| async {});
    /// harness.act_at("40s", "a", |cluster, _node| async move {
    ///     let stock: u32 = cluster.call(&cluster.name(), "stock", "shoes").await?;
    ///     if stock == 0 {
    ///         return Err("no shoes are left".into());
    ///     }
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// });
    /// ```
    #[track_caller]
    pub fn act_at<F, W>(self, at: &str, node: &str, act: F) -> Self
    where
        F: Fn(Cluster, Node<S>) -> W + Send + Sync + 'static,
        W: Future + 'static,
        W::Output: Ending,
    {
        let title = format!("act_at({at:?}, {node:?})");
        self.with_act(When::At(at.to_owned()), title, node, begin(act))
    }

    /// Like [`Harness::act_at`], `delay` after the step that has this `label` in the file.
    #[track_caller]
    pub fn act_after<F, W>(self, label: &str, delay: &str, node: &str, act: F) -> Self
    where
        F: Fn(Cluster, Node<S>) -> W + Send + Sync + 'static,
        W: Future + 'static,
        W::Output: Ending,
    {
        let title = format!("act_after({label:?}, {delay:?}, {node:?})");
        self.with_act(after(label, delay), title, node, begin(act))
    }

    /// Runs the scenario with each seed, on as many threads as there are processors. The first seed runs twice, and both runs
    /// must leave the same trace.
    ///
    /// Reads these environment variables: `LASSO_SEED=7` runs one seed alone, `LASSO_SEEDS=1..1000` runs those from 1 to 1,000, and
    /// `LASSO_TRACE=FILE` writes the traces of all runs to a file.
    ///
    /// # Panics
    /// When a run fails, when the two runs differ, when the file, a time, a label or a node is wrong, and in a test
    /// that has a runtime of its own (`#[tokio::test]`). The message gives the expected and the observed values, the
    /// time and the node, the last events, and the command that repeats the run.
    #[track_caller]
    pub fn check(self) {
        match self.try_check() {
            Ok(report) => println!("{report}"),
            Err(failed) => panic!("{failed}"),
        }
    }

    /// Like [`Harness::check`], for tests that expect a failure: they show that a check finds a planted mistake.
    ///
    /// # Errors
    /// In all cases in which [`Harness::check`] panics.
    pub fn try_check(self) -> Result<Report, Failed> {
        seeds::run(&self, &Environment::read()?)
    }

    #[track_caller]
    fn with_check<R: Ending>(
        mut self,
        when: When,
        title: String,
        check: impl Fn(&Snapshot<S>) -> R + Send + Sync + 'static,
    ) -> Self {
        let check = move |snapshot: &Snapshot<S>| check(snapshot).into_result();
        self.hooks.push(Hook {
            when,
            deed: Deed::Check(Arc::new(check)),
            title,
            place: place(Location::caller()),
        });
        self
    }

    #[track_caller]
    fn with_act(mut self, when: When, title: String, node: &str, begin: Begin<S>) -> Self {
        let node = node.to_owned();
        self.hooks.push(Hook {
            when,
            deed: Deed::Act { node, begin },
            title,
            place: place(Location::caller()),
        });
        self
    }
}

impl<S> fmt::Debug for Harness<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("source", &self.source)
            .field("seeds", &self.seeds)
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

fn after(label: &str, delay: &str) -> When {
    When::After {
        label: label.to_owned(),
        delay: delay.to_owned(),
    }
}

fn begin<S, F, W>(work: F) -> Begin<S>
where
    F: Fn(Cluster, Node<S>) -> W + Send + Sync + 'static,
    W: Future + 'static,
    W::Output: Ending,
{
    Arc::new(move |cluster, node| {
        let work = work(cluster, node);
        Box::pin(async move { work.await.into_result() })
    })
}

/// Enough seeds for different orders of events, and few enough for a quick test.
const SEEDS: RangeInclusive<u64> = 1..=5;
