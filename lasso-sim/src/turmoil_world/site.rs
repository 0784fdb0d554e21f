//! A user's own application in the turmoil world: its inputs, and its reports to the test.
//!
//! A [`Site`] lasts for a whole run and belongs to the world and to the test. A [`Tenant`] belongs to the
//! application in one start of one node. Its tasks are the host's: they freeze with the process and are dropped
//! in a fixed order when it ends.

use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use lasso_core::time::Instant;
use lasso_net::Cluster;
use parking_lot::Mutex;
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::gate::Gate;
use super::panics;
use super::process::Word;
use super::watch::Eye;
use crate::scenario::{NodeId, NodeSpec};
use crate::seed::{self, Purpose};

/// The result of an application or an act; an error is a text.
pub(crate) type Work = Pin<Box<dyn Future<Output = Result<(), String>>>>;
/// Begins the application in one start of a node.
pub(crate) type Begin = Arc<dyn Fn(Cluster, Tenant) -> Work + Send + Sync>;
/// Begins an act of a test on a node.
pub(crate) type BeginAct = Box<dyn FnOnce(Cluster, Tenant) -> Work + Send>;

/// A failure that no line of the file demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// The time, on the world's clock.
    pub(crate) at: Instant,
    /// On which node.
    pub(crate) node: Option<NodeId>,
    /// `file:line:column` of the user's code.
    pub(crate) place: String,
    /// The expectation.
    pub(crate) expected: String,
    /// The observation.
    pub(crate) seen: String,
}

/// An act of a test on a node.
pub(super) struct Act {
    /// Its title in the test.
    title: String,
    /// Its place in the user's code.
    place: String,
    begin: BeginAct,
    under_way: UnderWay,
}

/// See the module's text.
pub(crate) struct Site {
    begin: Begin,
    /// The place of the application in the user's code.
    place: String,
    seed: u64,
    /// The last known time of the world, in nanoseconds.
    now: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    posts: Vec<Post>,
    complaints: Vec<Complaint>,
    /// Acts that have not ended, with their nodes and titles.
    acts: BTreeMap<u64, (NodeId, String)>,
    last_act: u64,
    /// Nodes that had tasks of `tokio::spawn`, with the greatest number at once.
    loose: BTreeMap<NodeId, usize>,
}

/// The state of one node.
#[derive(Default)]
struct Post {
    starts: u32,
    /// Present while a process runs.
    words: Option<mpsc::UnboundedSender<Word>>,
    /// Present once its cluster has a handle.
    running: Option<(Cluster, Handle)>,
}

impl Site {
    /// For the nodes of a scenario, before any has started.
    pub(crate) fn new(nodes: usize, seed: u64, begin: Begin, place: String) -> Self {
        let posts = (0..nodes).map(|_| Post::default()).collect();
        Site {
            begin,
            place,
            seed,
            now: AtomicU64::new(0),
            state: Mutex::new(State {
                posts,
                ..State::default()
            }),
        }
    }

    /// The handle of a node's cluster while its process runs.
    pub(crate) fn cluster(&self, node: NodeId) -> Option<Cluster> {
        let state = self.state.lock();
        let running = state.posts[node.index()].running.as_ref();
        running.map(|(cluster, _)| cluster.clone())
    }

    /// How often a node has started.
    pub(crate) fn starts(&self, node: NodeId) -> u32 {
        self.state.lock().posts[node.index()].starts
    }

    /// The complaints since the last call.
    pub(crate) fn take_complaints(&self) -> Vec<Complaint> {
        core::mem::take(&mut self.state.lock().complaints)
    }

    /// Adds a complaint.
    pub(crate) fn complain(&self, complaint: Complaint) {
        self.state.lock().complaints.push(complaint);
    }

    /// Acts that have not ended, with their nodes and titles.
    pub(crate) fn acts(&self) -> Vec<(NodeId, String)> {
        self.state.lock().acts.values().cloned().collect()
    }

    /// Nodes that had tasks of `tokio::spawn`, with the greatest number at once.
    pub(crate) fn loose(&self) -> Vec<(NodeId, usize)> {
        self.count_loose();
        let state = self.state.lock();
        state
            .loose
            .iter()
            .map(|(node, most)| (*node, *most))
            .collect()
    }

    /// Starts an act on a node; `place` is its place in the user's code. False: the node does not run.
    pub(crate) fn act(
        self: &Arc<Self>,
        node: NodeId,
        title: &str,
        place: &str,
        begin: BeginAct,
    ) -> bool {
        let words = self.state.lock().posts[node.index()].words.clone();
        let Some(words) = words else { return false };
        let act = Act {
            title: title.to_owned(),
            place: place.to_owned(),
            begin,
            under_way: UnderWay::new(self, node, title),
        };
        words.send(Word::Act(act)).is_ok()
    }

    /// Sets the world's time.
    pub(crate) fn set_now(&self, now: Instant) {
        self.now.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// Forgets all handles, each of which may keep the site alive.
    pub(crate) fn clear(&self) {
        let posts = core::mem::take(&mut self.state.lock().posts);
        drop(posts);
    }

    /// A process of the node begins.
    pub(super) fn moves_in(&self, node: NodeId, words: mpsc::UnboundedSender<Word>) {
        let post = &mut self.state.lock().posts[node.index()];
        post.starts += 1;
        post.words = Some(words);
    }

    /// The process is gone.
    pub(super) fn moves_out(&self, node: NodeId) {
        self.count_loose();
        let post = &mut self.state.lock().posts[node.index()];
        let (words, running) = (post.words.take(), post.running.take());
        // Not under the lock, because the last handle ends its node.
        drop((words, running));
    }

    /// Reports tasks of `tokio::spawn` of a frozen process, because they do not pause.
    pub(super) fn freezes(&self, now: Instant, node: NodeId) {
        self.count_loose();
        let mut state = self.state.lock();
        let alive = state.posts[node.index()].loose();
        if alive > 0 {
            let place = self.place.clone();
            state.complaints.push(Complaint {
                at: now,
                node: Some(node),
                place,
                expected: "a frozen process stands still".to_owned(),
                seen: format!(
                    "{alive} tasks of `tokio::spawn`, which nobody can freeze; use `Cluster::spawn` \
                     or `Node::spawn`"
                ),
            });
        }
    }

    /// Reports the panics on this thread; `caught` are those that a gate has caught.
    pub(super) fn panicked(&self, now: Instant, caught: Vec<(NodeId, String)>) {
        let mut seen = panics::take();
        if seen.is_empty() {
            seen = caught
                .into_iter()
                .map(|(node, text)| panics::Panic {
                    node: Some(node),
                    place: None,
                    text,
                })
                .collect();
        }
        for panics::Panic { node, place, text } in seen {
            self.complain(Complaint {
                at: now,
                node,
                place: place.unwrap_or_else(|| self.place.clone()),
                expected: "nothing panics".to_owned(),
                seen: format!("a panic: {text}"),
            });
        }
    }

    /// Counts tasks of `tokio::spawn`.
    pub(crate) fn count_loose(&self) {
        let mut state = self.state.lock();
        let State { posts, loose, .. } = &mut *state;
        for (index, post) in posts.iter().enumerate() {
            let alive = post.loose();
            if alive > 0 {
                let most = loose.entry(NodeId(index as u32)).or_default();
                *most = (*most).max(alive);
            }
        }
    }
}

impl Post {
    /// Tasks that are not the host's own, which are all in its local set.
    fn loose(&self) -> usize {
        let handle = self.running.as_ref().map(|(_, runtime)| runtime);
        handle.map_or(0, |runtime| runtime.metrics().num_alive_tasks())
    }
}

/// See the module's text.
#[derive(Clone)]
pub(crate) struct Tenant(Arc<Inner>);

struct Inner {
    site: Arc<Site>,
    node: NodeId,
    spec: NodeSpec,
    start: u32,
    eye: Arc<Eye>,
    gate: Gate,
    wall_offset_ms: Arc<AtomicI64>,
    /// The number of generators created.
    generators: AtomicU64,
    /// The process was told to stop.
    stopping: AtomicBool,
}

impl Tenant {
    pub(super) fn new(
        site: &Arc<Site>,
        (node, spec): (NodeId, &NodeSpec),
        eye: &Arc<Eye>,
        gate: &Gate,
        wall_offset_ms: &Arc<AtomicI64>,
    ) -> Self {
        Tenant(Arc::new(Inner {
            site: Arc::clone(site),
            node,
            spec: spec.clone(),
            start: site.starts(node),
            eye: Arc::clone(eye),
            gate: gate.clone(),
            wall_offset_ms: Arc::clone(wall_offset_ms),
            generators: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }))
    }

    /// Its node.
    pub(crate) fn node(&self) -> NodeId {
        self.0.node
    }

    /// The node's spec.
    pub(crate) fn spec(&self) -> &NodeSpec {
        &self.0.spec
    }

    /// How often the node has started, this time included.
    pub(crate) fn start(&self) -> u32 {
        self.0.start
    }

    /// The seed of the run.
    pub(crate) fn seed(&self) -> u64 {
        self.0.site.seed
    }

    /// Time since the scenario began. Outside of a host it is the last known time.
    pub(crate) fn now(&self) -> Instant {
        let site = &self.0.site;
        match turmoil::sim_elapsed() {
            Some(elapsed) => {
                let now = Instant::ZERO + elapsed;
                site.set_now(now);
                now
            }
            None => Instant::from_nanos(site.now.load(Ordering::Relaxed)),
        }
    }

    /// The node's wall clock.
    pub(crate) fn wall_clock(&self) -> SystemTime {
        let since_start = self.now().as_nanos() / 1_000_000;
        let offset = self.0.wall_offset_ms.load(Ordering::Relaxed);
        let unix_ms = (crate::direct::EPOCH_MS + since_start).saturating_add_signed(offset);
        UNIX_EPOCH + Duration::from_millis(unix_ms)
    }

    /// A generator of its own for each call.
    pub(crate) fn generator(&self) -> ChaCha8Rng {
        let number = self.0.generators.fetch_add(1, Ordering::Relaxed);
        let who = u64::from(self.0.node.0) << 32 | u64::from(self.0.start);
        seed::generator(self.seed(), Purpose::Guest, who, number)
    }

    /// Writes into the trace.
    pub(crate) fn note(&self, text: &str) {
        self.0.eye.note(self.process_time(), text);
    }

    /// Starts a task that freezes and ends with the process. An error fails the run. `place` is where the
    /// user's code starts it.
    ///
    /// # Panics
    /// Outside of the node's host.
    pub(crate) fn spawn(&self, place: String, expected: &'static str, work: Work) {
        let tenant = self.clone();
        self.run(async move {
            if let Err(seen) = work.await {
                tenant.fails(place, expected.to_owned(), seen);
            }
        });
    }

    /// Starts the application.
    pub(super) fn begin(&self, cluster: Cluster) {
        let site = &self.0.site;
        let running = (cluster.clone(), Handle::current());
        site.state.lock().posts[self.0.node.index()].running = Some(running);
        let tenant = self.clone();
        self.run(async move {
            let site = Arc::clone(&tenant.0.site);
            match (site.begin)(cluster, tenant.clone()).await {
                Ok(()) => tenant.note("the application has returned"),
                Err(error) => {
                    let expected = "the application returns no error".to_owned();
                    tenant.fails(site.place.clone(), expected, error);
                }
            }
        });
    }

    /// Starts an act of a test.
    pub(super) fn act(&self, cluster: Cluster, act: Act) {
        let tenant = self.clone();
        self.note(&format!("{} begins", act.title));
        self.run(async move {
            let result = (act.begin)(cluster, tenant.clone()).await;
            drop(act.under_way);
            match result {
                Ok(()) => tenant.note(&format!("{} has ended", act.title)),
                Err(seen) => tenant.fails(act.place, format!("{} succeeds", act.title), seen),
            }
            tenant.0.eye.stir();
        });
    }

    fn run(&self, task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(self.0.gate.guard(task));
    }

    /// The process was told to stop: errors of its tasks from now on are no failures.
    pub(super) fn stops(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
    }

    fn fails(&self, place: String, expected: String, seen: String) {
        if self.0.stopping.load(Ordering::Relaxed) {
            return self.note(&format!("while it stops: {seen}"));
        }
        self.0.site.complain(Complaint {
            at: self.now(),
            node: Some(self.0.node),
            place,
            expected,
            seen,
        });
        self.0.eye.stir();
    }

    fn process_time(&self) -> Instant {
        Instant::ZERO + (self.now() - self.0.eye.boot)
    }
}

/// An act that has not ended; gone with its task.
struct UnderWay {
    site: Arc<Site>,
    number: u64,
}

impl UnderWay {
    fn new(site: &Arc<Site>, node: NodeId, title: &str) -> Self {
        let mut state = site.state.lock();
        state.last_act += 1;
        let number = state.last_act;
        state.acts.insert(number, (node, title.to_owned()));
        UnderWay {
            site: Arc::clone(site),
            number,
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.site.state.lock().acts.remove(&self.number);
    }
}
