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
            row.coverage.clear();
            row.responding = 0;
            for (of, state) in std::mem::take(&mut row.view) {
                forget(&mut self.rows[of].seen, state);
            }
            self.settle_all(now);
        }
    }

    /// A node says something.
    pub(crate) fn report(&mut self, now: Instant, node: usize, report: Report) -> Vec<News> {
        match report {
            Report::Up { http } => {
                if let Some(pid) = self.rows[node].process.pid() {
                    self.rows[node].process = Process::Up { pid, at: now, http };
                }
                self.settle_all(now);
                vec![News::Up { node }]
            }
            Report::Members { coverage, members } => {
                self.covers(node, &coverage);
                let says = |(name, state)| self.says(now, node, &name, state);
                members.into_iter().filter_map(says).collect()
            }
            Report::Event(event) => {
                self.covers(node, &event.coverage);
                self.change(now, node, event.change)
            }
        }
    }

    fn change(&mut self, now: Instant, node: usize, change: Change) -> Vec<News> {
        match change {
            Change::NodeConnected { name, .. } => {
                let news = self.says(now, node, &name, NodeState::Connected);
                news.into_iter().collect()
            }
            Change::NodeIdentified { name, description } => {
                if let Some(of) = self.by_name.get(&name) {
                    self.rows[*of].region = description.region.to_string();
                }
                Vec::new()
            }
            Change::HealthUpdate { changed } => {
                let says = |(name, state)| self.says(now, node, &name, state);
                changed.into_iter().filter_map(says).collect()
            }
            Change::NodeDisconnected { name, reason } => {
                let lost = self.by_name.get(&name).map(|of| News::Lost {
                    node: *of,
                    by: node,
                    reason,
                    after: match self.rows[*of].process {
                        Process::Ended { at } => Some(now - at),
                        _ => None,
                    },
                });
                let agreed = self.says(now, node, &name, NodeState::Disconnected);
                lost.into_iter().chain(agreed).collect()
            }
        }
    }

    fn covers(&mut self, node: usize, coverage: &Coverage) {
        self.rows[node].coverage = logs::short(coverage);
        self.rows[node].responding = coverage.responding;
    }

    fn says(
        &mut self,
        now: Instant,
        node: usize,
        name: &NodeName,
        state: NodeState,
    ) -> Option<News> {
        let of = *self.by_name.get(name)?;
        let before = self.rows[node].view.insert(of, state);
        let seen = &mut self.rows[of].seen;
        if let Some(before) = before {
            forget(seen, before);
        }
        *seen.entry(state).or_default() += 1;
        self.settle(now, of)
    }

    /// What the others have come to agree on is news.
    fn settle(&mut self, now: Instant, node: usize) -> Option<News> {
        let up = |row: &&Row| row.process.is_up();
        let by = self.rows.iter().filter(up).count();
        let row = &mut self.rows[node];
        let by = by - usize::from(row.process.is_up());
        let agreed = row.seen.iter().find(|(_, count)| **count == by);
        let agreed = agreed.map(|(state, _)| *state);
        if row.agreed == agreed {
            return None;
        }
        row.agreed = agreed;
        row.since = now;
        agreed.map(|state| News::Agreed { node, state, by })
    }

    /// The number of those who can say something has changed, which is no news by itself.
    fn settle_all(&mut self, now: Instant) {
        (0..self.rows.len()).for_each(|node| {
            self.settle(now, node);
        });
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

/// One node less says so.
fn forget(seen: &mut Seen, state: NodeState) {
    if let Some(count) = seen.get_mut(&state) {
        *count -= 1;
        if *count == 0 {
            seen.remove(&state);
        }
    }
}
