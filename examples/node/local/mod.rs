//! A whole cluster on this machine: each node a process of its own on an address of its own, and a
//! small DNS server that names them all.

mod board;
mod child;
mod demo;
mod measure;
mod plan;
mod table;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lasso::responder::Responder;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::cli::{DECIDED, LocalOptions, Script};
use crate::failure::{self, Failure};
use crate::logs;
use crate::proxied::{self, Proxied};
use crate::signals::Signals;
use board::{Board, News};
use child::{Child, Happening, What};
use plan::Plan;
use table::Screen;

/// How long the cluster may take to become whole, or to notice a loss.
const BOUND: Duration = Duration::from_secs(30);
/// How long the nodes may take to answer what is under way, and to say goodbye.
const GOODBYE: Duration = Duration::from_secs(15);
/// The table is drawn again after a change, but not more often than this,
const DRAW_MIN: Duration = Duration::from_millis(40);
/// and at least this often, since it shows ages.
const DRAW_MAX: Duration = Duration::from_secs(1);

/// Runs the cluster until its script or the operator ends it.
pub(crate) fn run(options: LocalOptions) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    failure::exit(match runtime {
        Ok(runtime) => runtime.block_on(play(options)),
        Err(error) => Err(Failure::new(format!("no runtime: {error}"))),
    })
}

async fn play(options: LocalOptions) -> Result<(), Failure> {
    let script = options.script;
    // Every node would read it and refuse it, one by one.
    let proxied = proxied::load(options.proxy.as_deref())?;
    let mut local = Local::new(&options).await?;
    let played = match script {
        Script::Watch => local.watch(&proxied).await,
        Script::Demo => demo::play(&mut local).await,
        Script::Measure => measure::play(&mut local).await,
    };
    local.stop().await;
    played
}

/// The cluster.
pub(crate) struct Local {
    plans: Vec<Plan>,
    children: Vec<Option<Child>>,
    board: Board,
    screen: Screen,
    /// Every change gets a line.
    talkative: bool,
    /// How long each other node took to notice a kill, since somebody last looked.
    noticed: Vec<Duration>,
    happenings: mpsc::Receiver<Happening>,
    /// Given to each child.
    happen: mpsc::Sender<Happening>,
    signals: Signals,
    /// The file that the operator named for every node's proxy.
    proxy: Option<PathBuf>,
    drawn: Instant,
    dirty: bool,
    /// Answers for as long as it is held.
    _dns: Responder,
}

impl Local {
    async fn new(options: &LocalOptions) -> Result<Self, Failure> {
        let fail = |what: &'static str| move |error| Failure::new(format!("{what}: {error}"));
        let signals = Signals::listen().map_err(fail("signals"))?;
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let dns = Responder::bind(loopback)
            .await
            .map_err(fail("DNS responder"))?;
        let plans = plan::plans(options, dns.local_addr())?;
        let names: Vec<_> = plans.iter().map(|plan| plan.name.clone()).collect();
        let addresses = names.iter().map(|name| name.address().ip());
        dns.set(plan::QUERY, addresses.collect());
        let start = Instant::now();
        let (happen, happenings) = mpsc::channel(1024);
        let mut screen = Screen::new(options.table, start);
        screen.line(
            start,
            &format!(
                "{} nodes, {} to {}; DNS for {} at {}",
                names.len(),
                names[0],
                names[names.len() - 1],
                plan::QUERY,
                dns.local_addr()
            ),
        );
        Ok(Local {
            children: plans.iter().map(|_| None).collect(),
            plans,
            board: Board::new(start, names),
            screen,
            talkative: options.script != Script::Measure,
            noticed: Vec::new(),
            happenings,
            happen,
            signals,
            proxy: options.proxy.clone(),
            drawn: start,
            dirty: true,
            _dns: dns,
        })
    }

    /// All nodes, until the operator has seen enough.
    async fn watch(&mut self, proxied: &Proxied) -> Result<(), Failure> {
        let start = self.start_all()?;
        let mut formed = false;
        loop {
            match self.step(None).await {
                Step::Stopped => return Ok(()),
                Step::Ended {
                    was_up: false,
                    failure,
                } => return Err(failure),
                // One that ran is missed by the others, and that can be watched.
                Step::Ended { .. } | Step::Happened | Step::Passed => {}
            }
            if !formed && self.board.is_whole() {
                formed = true;
                self.say_formed(start);
                self.say_where(proxied);
            }
        }
    }

    /// Where requests can go, and figures come from.
    fn say_where(&mut self, proxied: &Proxied) {
        let rows = self.board.rows().iter();
        let nodes: Vec<_> = rows.filter_map(|row| row.process.http()).collect();
        let (Some(first), Some(last)) = (nodes.first(), nodes.last()) else {
            return;
        };
        let (mut lines, mut example) = (Vec::new(), None);
        for chain in proxied.chains() {
            lines.push(format!("requests: POST http://{first}/rpc/{chain}"));
            example = example.or(Some(chain));
        }
        if let Some((profile, chain)) = example.as_deref().and_then(|one| one.split_once('/')) {
            lines.push(format!(
                "figures, and all else: http://{last}/api/leaderboard?profile={profile}&chain={chain}"
            ));
        }
        lines.iter().for_each(|line| self.say(line));
    }

    /// Starts every node; the time of the first start comes back.
    fn start_all(&mut self) -> Result<Instant, Failure> {
        let start = Instant::now();
        (0..self.plans.len()).try_for_each(|node| self.start(node))?;
        Ok(start)
    }

    /// Starts a node.
    fn start(&mut self, node: usize) -> Result<(), Failure> {
        let fail = |error| Failure::new(format!("cannot start a node: {error}"));
        let plan = &self.plans[node];
        let program = std::env::current_exe().map_err(fail)?;
        let mut command = Command::new(program);
        command.arg("--child");
        for name in DECIDED {
            command.env_remove(name);
        }
        command.envs(plan.variables.iter().map(|(name, value)| (name, value)));
        if let Some(path) = &self.proxy {
            command.arg("--proxy-config").arg(path);
        }
        if std::env::var_os("RUST_LOG").is_none() {
            // What changes in the topology is shown by this process.
            command.env("RUST_LOG", "warn,topology=error");
        }
        let child = Child::start(command, node, self.happen.clone()).map_err(fail)?;
        self.board.started(Instant::now(), node, child.pid());
        self.children[node] = Some(child);
        Ok(())
    }

    /// Ends a node's process without a goodbye.
    fn kill(&mut self, node: usize) {
        if let Some(child) = &mut self.children[node] {
            self.board.ended(Instant::now(), node);
            child.kill();
        }
    }

    /// Waits until every node sees every other as ready.
    async fn whole(&mut self) -> Result<Instant, Failure> {
        self.until("the cluster is whole", Board::is_whole).await
    }

    /// Waits until all others have noticed that a node is gone.
    async fn lost(&mut self, node: usize) -> Result<Instant, Failure> {
        self.until("all have noticed the loss", |board| board.is_lost(node))
            .await
    }

    /// Waits until something holds, and says when it did.
    async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&Board) -> bool,
    ) -> Result<Instant, Failure> {
        let end = Instant::now() + BOUND;
        while !holds(&self.board) {
            match self.step(Some(end)).await {
                Step::Happened => {}
                Step::Stopped => return Err(Failure::new("interrupted")),
                Step::Ended { failure, .. } => return Err(failure),
                Step::Passed => {
                    let mut text = format!("not within {} s: {what}", BOUND.as_secs());
                    for line in self.board.explain() {
                        text += &format!("\n  {line}");
                    }
                    return Err(Failure::new(text));
                }
            }
        }
        Ok(Instant::now())
    }

    /// Lets time pass.
    async fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        loop {
            match self.step(Some(end)).await {
                Step::Happened => {}
                Step::Passed => return Ok(()),
                Step::Stopped => return Err(Failure::new("interrupted")),
                Step::Ended { failure, .. } => return Err(failure),
            }
        }
    }

    /// Asks all nodes to say goodbye, and ends those that do not.
    async fn stop(&mut self) {
        let now = Instant::now();
        self.screen.finish(now, &self.board);
        (0..self.plans.len()).for_each(|node| self.board.ended(now, node));
        self.talkative = false;
        self.children.iter_mut().flatten().for_each(Child::stop);
        let end = Instant::now() + GOODBYE;
        while self.children.iter().any(Option::is_some)
            && !matches!(self.step(Some(end)).await, Step::Passed)
        {}
        for (node, child) in self.children.iter_mut().enumerate() {
            if let Some(child) = child {
                logs::tell(&format!(
                    "{} does not stop, and is killed",
                    self.plans[node].name
                ));
                child.kill();
            }
        }
    }

    /// Waits for the next thing to happen, until `end` at the latest.
    async fn step(&mut self, end: Option<Instant>) -> Step {
        let draw = self.drawn + if self.dirty { DRAW_MIN } else { DRAW_MAX };
        let wake = end.map_or(draw, |end| end.min(draw));
        let step = tokio::select! {
            biased;
            _ = self.signals.next() => Step::Stopped,
            () = tokio::time::sleep_until(wake.into()) => match end {
                Some(end) if end <= Instant::now() => Step::Passed,
                _ => Step::Happened,
            },
            Some(happening) = self.happenings.recv() => self.take(happening),
        };
        let now = Instant::now();
        if now >= draw {
            self.screen.draw(now, &self.board);
            self.drawn = now;
            self.dirty = false;
        }
        step
    }

    fn take(&mut self, happening: Happening) -> Step {
        let Happening {
            node,
            pid,
            at,
            what,
        } = happening;
        if self.children[node].as_ref().map(Child::pid) != Some(pid) {
            return Step::Happened;
        }
        self.dirty = true;
        match what {
            What::Report(report) => {
                for news in self.board.report(at, node, report) {
                    self.tell(at, news);
                }
            }
            What::Log(line) => self
                .screen
                .plain(&format!("{}: {line}", self.plans[node].name)),
            What::Ended(status) => {
                self.children[node] = None;
                let process = self.board.rows()[node].process;
                if process.pid().is_some() {
                    self.board.ended(at, node);
                    let how = status.map_or("".into(), |status| format!(", {status}"));
                    let text = format!("{} has ended{how}", self.plans[node].name);
                    self.screen.line(at, &text);
                    return Step::Ended {
                        was_up: process.is_up(),
                        failure: Failure::ended(text, status),
                    };
                }
            }
        }
        Step::Happened
    }

    fn tell(&mut self, at: Instant, news: News) {
        let name = |node: usize| &self.plans[node].name;
        let text = match news {
            News::Up { node } => {
                let process = self.board.rows()[node].process;
                let http = process
                    .http()
                    .map_or(String::new(), |http| format!(", http://{http}/health"));
                let pid = process.pid().unwrap_or_default();
                format!("{} is up, pid {pid}{http}", name(node))
            }
            News::Lost {
                node,
                by,
                reason,
                after,
            } => {
                self.noticed.extend(after);
                let after = after.map_or(String::new(), |after| {
                    format!(", {} after it was killed", ms(after))
                });
                let reason = reason.name();
                format!("{} has lost {}{after} ({reason})", name(by), name(node))
            }
            News::Agreed { node, state, by } => {
                format!("all {by} others see {} as {}", name(node), state.name())
            }
        };
        if self.talkative {
            self.screen.line(at, &text);
        }
    }

    /// Tells a step of the script.
    fn say(&mut self, text: &str) {
        self.screen.line(Instant::now(), text);
    }

    fn say_formed(&mut self, start: Instant) {
        let now = Instant::now();
        let last = self.board.last_up().unwrap_or(now);
        let text = format!(
            "the cluster is whole: {} nodes, {} after the last was up, {} after the first was started",
            self.plans.len(),
            ms(now - last),
            ms(now - start),
        );
        self.say(&text);
    }
}

/// What a step of waiting came to.
enum Step {
    /// Something happened.
    Happened,
    /// The time is over.
    Passed,
    /// The operator asks to stop.
    Stopped,
    /// A node has ended that should not have.
    Ended {
        /// It took links before.
        was_up: bool,
        /// How the program is to end for it.
        failure: Failure,
    },
}

/// Milliseconds with one decimal.
fn ms(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}
