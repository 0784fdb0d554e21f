//! What is known of a local cluster: each process, and what its node says of the others.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use lasso::{Change, Coverage, DownReason, NodeName, NodeState};

use crate::logs;
use crate::report::Report;

/// The whole cluster.
pub(crate) struct Board {
    rows: Vec<Row>,
    by_name: BTreeMap<NodeName, usize>,
}

/// One node.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: NodeName,
    /// Its process.
    pub(crate) process: Process,
    /// Its region, as others know it.
    pub(crate) region: String,
    /// How much of the cluster it sees: "responding/expected".
    pub(crate) coverage: String,
    /// The number of nodes that it says are responding.
    responding: usize,
    /// What it says of the others.
    view: BTreeMap<usize, NodeState>,
    /// What the others say of it.
    pub(crate) seen: Seen,
    /// What they all say of it, if they agree.
    pub(crate) agreed: Option<NodeState>,
    /// Since when they agree, or do not.
    pub(crate) since: Instant,
}

/// The process of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Process {
    /// It runs.
    Started {
        /// Its id.
        pid: u32,
        /// Since when.
        at: Instant,
    },
    /// It takes links.
    Up {
        /// Its id.
        pid: u32,
        /// Since when.
        at: Instant,
        /// Where it answers over HTTP.
        http: SocketAddr,
    },
    /// It was told to end, or killed, and is not missed.
    Ended {
        /// Since when.
        at: Instant,
    },
}

impl Process {
    /// True when it takes links.
    pub(crate) fn is_up(self) -> bool {
        matches!(self, Process::Up { .. })
    }

    /// Where it answers over HTTP, while it does.
    pub(crate) fn http(self) -> Option<SocketAddr> {
        match self {
            Process::Up { http, .. } => Some(http),
            _ => None,
        }
    }

    /// Its id, while it runs.
    pub(crate) fn pid(self) -> Option<u32> {
        match self {
            Process::Started { pid, .. } | Process::Up { pid, .. } => Some(pid),
            Process::Ended { .. } => None,
        }
    }
}

/// What the others say of a node: how many of them say what.
pub(crate) type Seen = BTreeMap<NodeState, usize>;

/// Something that changed, worth a line.
pub(crate) enum News {
    /// A node takes links.
    Up {
        /// Which.
        node: usize,
    },
    /// One node has lost another.
    Lost {
        /// Which was lost.
        node: usize,
        /// Which has lost it.
        by: usize,
        /// Why.
        reason: DownReason,
        /// How long after its process had ended.
        after: Option<Duration>,
    },
    /// All others say the same of a node.
    Agreed {
        /// Which.
        node: usize,
        /// What they say.
        state: NodeState,
        /// How many they are.
        by: usize,
    },
}

impl Board {
    /// Nodes that were not started yet.
    pub(crate) fn new(now: Instant, names: Vec<NodeName>) -> Self {
        let by_name = names.iter().cloned().zip(0..).collect();
        let row = |name| Row {
            name,
            process: Process::Ended { at: now },
            region: String::new(),
            coverage: String::new(),
            responding: 0,
            view: BTreeMap::new(),
            seen: Seen::new(),
            agreed: None,
            since: now,
        };
        Board {
            rows: names.into_iter().map(row).collect(),
            by_name,
        }
    }

    /// The nodes, in order.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// A node's process runs.
    pub(crate) fn started(&mut self, now: Instant, node: usize, pid: u32) {
        self.rows[node].process = Process::Started { pid, at: now };
    }

    /// A node's process has ended, or is about to; it says nothing any more.
    pub(crate) fn ended(&mut self, now: Instant, node: usize) {
        let row = &mut self.rows[node];
        if row.process.pid().is_some() {
            row.process = Process::Ended { at: now };
            row.view.clear();
            row.coverage.clear();
            row.responding = 0;
            self.agree(now);
        }
    }

    /// A node says something.
    pub(crate) fn report(&mut self, now: Instant, node: usize, report: Report) -> Vec<News> {
        let event = match report {
            Report::Up { http } => {
                if let Some(pid) = self.rows[node].process.pid() {
                    self.rows[node].process = Process::Up { pid, at: now, http };
                }
                return vec![News::Up { node }];
            }
            Report::Members { coverage, members } => {
                self.covers(node, &coverage);
                for (name, state) in members {
                    self.says(node, &name, state);
                }
                return self.agree(now);
            }
            Report::Event(event) => event,
        };
        self.covers(node, &event.coverage);
        let mut news = Vec::new();
        match event.change {
            Change::NodeConnected { name, .. } => self.says(node, &name, NodeState::Connected),
            Change::NodeIdentified { name, description } => {
                if let Some(of) = self.by_name.get(&name) {
                    self.rows[*of].region = description.region.to_string();
                }
            }
            Change::HealthUpdate { changed } => {
                for (name, state) in changed {
                    self.says(node, &name, state);
                }
            }
            Change::NodeDisconnected { name, reason } => {
                self.says(node, &name, NodeState::Disconnected);
                if let Some(of) = self.by_name.get(&name) {
                    let after = match self.rows[*of].process {
                        Process::Ended { at } => Some(now - at),
                        _ => None,
                    };
                    news.push(News::Lost {
                        node: *of,
                        by: node,
                        reason,
                        after,
                    });
                }
            }
        }
        news.extend(self.agree(now));
        news
    }

    fn covers(&mut self, node: usize, coverage: &Coverage) {
        self.rows[node].coverage = logs::short(coverage);
        self.rows[node].responding = coverage.responding;
    }

    fn says(&mut self, node: usize, name: &NodeName, state: NodeState) {
        if let Some(of) = self.by_name.get(name) {
            self.rows[node].view.insert(*of, state);
        }
    }

    /// Brings what the others say of each node up to date; what they have come to agree on is news.
    fn agree(&mut self, now: Instant) -> Vec<News> {
        let mut seen = vec![Seen::new(); self.rows.len()];
        let observers = || self.rows.iter().filter(|row| row.process.is_up());
        for (of, state) in observers().flat_map(|row| &row.view) {
            *seen[*of].entry(*state).or_default() += 1;
        }
        let observers = observers().count();
        let mut news = Vec::new();
        for (node, (row, seen)) in self.rows.iter_mut().zip(seen).enumerate() {
            let by = observers - usize::from(row.process.is_up());
            let agreed = seen.iter().find(|(_, count)| **count == by);
            let agreed = agreed.map(|(state, _)| *state);
            row.seen = seen;
            if row.agreed == agreed {
                continue;
            }
            row.agreed = agreed;
            row.since = now;
            if let Some(state) = agreed {
                news.push(News::Agreed { node, state, by });
            }
        }
        news
    }

    /// Every node is up, is ready for every other, and says so of the whole cluster.
    pub(crate) fn is_whole(&self) -> bool {
        self.rows.iter().all(|row| {
            row.process.is_up()
                && row.responding == self.rows.len()
                && row.agreed == Some(NodeState::Ready)
        })
    }

    /// When the last node came up, once all are.
    pub(crate) fn last_up(&self) -> Option<Instant> {
        let up = self.rows.iter().map(|row| match row.process {
            Process::Up { at, .. } => Some(at),
            _ => None,
        });
        up.collect::<Option<Vec<Instant>>>()?.into_iter().max()
    }

    /// What keeps the cluster from being whole, one line per node concerned.
    pub(crate) fn explain(&self) -> Vec<String> {
        let explain = |row: &Row| {
            let Row { name, coverage, .. } = row;
            if !row.process.is_up() {
                return Some(format!("{name} is not up"));
            }
            let others: Vec<String> = row
                .view
                .iter()
                .filter(|(_, state)| **state != NodeState::Ready)
                .map(|(of, state)| format!("{} as {}", self.rows[*of].name, state.name()))
                .collect();
            if row.view.is_empty() {
                Some(format!("{name} sees nobody"))
            } else if !others.is_empty() {
                Some(format!("{name} sees {}", others.join(", ")))
            } else if row.responding < self.rows.len() {
                Some(format!("{name} speaks for {coverage} nodes"))
            } else {
                None
            }
        };
        self.rows.iter().filter_map(explain).collect()
    }

    /// All that run say that `node` is disconnected.
    pub(crate) fn is_lost(&self, node: usize) -> bool {
        self.rows[node].agreed == Some(NodeState::Disconnected)
    }
}
