//! The rows of the table: what is done, and what is to be reached.

use crate::options::System;

/// One experiment, and what is read off it.
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) id: &'static str,
    /// What happens.
    pub(crate) what: &'static str,
    /// The same, for the machine.
    pub(crate) work: Work,
    /// What is read off.
    pub(crate) figures: &'static [Figure],
    /// Who takes part, lasso apart.
    others: &'static [System],
}

/// What the processes do.
#[derive(Clone, Copy)]
pub(crate) enum Work {
    /// A publishes flat out to so many nodes with so many subscribers each.
    Publish {
        bytes: usize,
        nodes: usize,
        subscribers: usize,
    },
    /// One node publishes flat out to its own subscribers.
    Local { subscribers: usize },
    /// A publishes 1,000 messages a second to B, each with the time.
    OneWay,
    /// A calls B, so many calls at a time.
    Call { at_once: usize },
    /// A calls so many nodes, and waits for the last answer.
    Gather { nodes: usize },
    /// A publishes steadily to B and C; C is stopped, and later goes on.
    Frozen,
    /// A calls B while it publishes messages of 16 MiB to it.
    Beside,
    /// A publishes a million messages to subscribers, its own and B's, that do not read.
    Unread,
}

/// One number of a run.
pub(crate) struct Figure {
    /// What it is, behind the row's text.
    pub(crate) what: &'static str,
    /// Its name in a run's outcome.
    pub(crate) key: &'static str,
    /// How it is written.
    pub(crate) unit: Unit,
    /// What is to be reached.
    pub(crate) target: Option<f64>,
}

/// How a number is written, and which way is better.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Per second: more is better.
    Rate,
    /// Nanoseconds: less is better.
    Time,
    /// Bytes: less is better.
    Bytes,
    /// A part of one: less is better.
    Share,
}

impl Row {
    /// Whether `system` can do this.
    pub(crate) fn runs_on(&self, system: System) -> bool {
        system == System::Lasso || self.others.contains(&system)
    }
}

const fn delivered(target: f64) -> Figure {
    Figure {
        what: "delivered",
        key: "delivered",
        unit: Unit::Rate,
        target: Some(target),
    }
}

const fn time(what: &'static str, key: &'static str, target_us: f64) -> Figure {
    Figure {
        what,
        key,
        unit: Unit::Time,
        target: Some(target_us * 1e3),
    }
}

const fn noted(what: &'static str, key: &'static str, unit: Unit) -> Figure {
    Figure {
        what,
        key,
        unit,
        target: None,
    }
}

const MISSED: Figure = noted("missed", "missed", Unit::Share);
const WORK_A: Figure = noted("processor time of A for each", "cpu_a", Unit::Time);
const WORK_OTHERS: Figure = noted("processor time of the others", "cpu_others", Unit::Time);
const BROKERS: &[System] = &[
    System::Floor,
    System::FloorPlain,
    System::Nats,
    System::Redis,
    System::Pg,
];
const CALLERS: &[System] = &[System::Floor, System::FloorPlain, System::Nats, System::Pg];
const DIRECT: &[System] = &[System::Floor, System::FloorPlain, System::Pg];

const fn publish(bytes: usize, nodes: usize) -> Work {
    Work::Publish {
        bytes,
        nodes,
        subscribers: 1,
    }
}

/// The table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        id: "publish-64",
        what: "publish A to B, 64 B",
        work: publish(64, 1),
        figures: &[delivered(4e6), MISSED, WORK_A, WORK_OTHERS],
        others: BROKERS,
    },
    Row {
        id: "publish-1k",
        what: "publish A to B, 1 KiB",
        work: publish(1024, 1),
        figures: &[delivered(0.8e6), MISSED, WORK_A, WORK_OTHERS],
        others: BROKERS,
    },
    Row {
        id: "publish-16k",
        what: "publish A to B, 16 KiB",
        work: publish(16 << 10, 1),
        figures: &[delivered(60e3), MISSED, WORK_A, WORK_OTHERS],
        others: BROKERS,
    },
    Row {
        id: "nodes-3",
        what: "publish to 3 nodes, 64 B, in sum",
        work: publish(64, 3),
        figures: &[delivered(6e6), MISSED, WORK_A, WORK_OTHERS],
        others: BROKERS,
    },
    Row {
        id: "local-100",
        what: "publish to 100 subscribers of the same node, 64 B",
        work: Work::Local { subscribers: 100 },
        figures: &[delivered(20e6), MISSED, WORK_A],
        others: &[System::Pg],
    },
    Row {
        id: "remote-100",
        what: "publish A to B with 100 subscribers, 64 B",
        work: Work::Publish {
            bytes: 64,
            nodes: 1,
            subscribers: 100,
        },
        figures: &[
            noted("delivered", "delivered", Unit::Rate),
            MISSED,
            WORK_A,
            WORK_OTHERS,
        ],
        others: &[],
    },
    Row {
        id: "one-way",
        what: "one way at 1,000/s, 64 B",
        work: Work::OneWay,
        figures: &[time("p50", "p50", 45.0), time("p99", "p99", 110.0)],
        others: BROKERS,
    },
    Row {
        id: "call-1",
        what: "call, one after another",
        work: Work::Call { at_once: 1 },
        figures: &[time("p50", "p50", 65.0), noted("p99", "p99", Unit::Time)],
        others: CALLERS,
    },
    Row {
        id: "call-64",
        what: "64 calls at once",
        work: Work::Call { at_once: 64 },
        figures: &[
            Figure {
                what: "answered",
                key: "answered",
                unit: Unit::Rate,
                target: Some(250e3),
            },
            WORK_A,
            WORK_OTHERS,
        ],
        others: CALLERS,
    },
    Row {
        id: "gather-7",
        what: "call to 7 nodes",
        work: Work::Gather { nodes: 7 },
        figures: &[time("p50", "p50", 200.0), noted("p99", "p99", Unit::Time)],
        others: DIRECT,
    },
    Row {
        id: "frozen",
        what: "C stopped for 5 s, 10,000 x 1 KiB/s to B and C",
        work: Work::Frozen,
        figures: &[
            time("longest gap at B", "gap", 20e3),
            noted("memory of A before", "rss_before", Unit::Bytes),
            noted("memory of A, most", "rss_most", Unit::Bytes),
        ],
        others: DIRECT,
    },
    Row {
        id: "beside",
        what: "call beside messages of 16 MiB",
        work: Work::Beside,
        figures: &[
            noted("p50", "p50", Unit::Time),
            time("p99", "p99", 2e3),
            noted("messages of 16 MiB", "large", Unit::Rate),
        ],
        others: DIRECT,
    },
    Row {
        id: "unread",
        what: "a million publishes, 64 B, to subscribers that do not read",
        work: Work::Unread,
        figures: &[
            noted("memory of A before", "rss_before", Unit::Bytes),
            noted("memory of A after", "rss_after", Unit::Bytes),
            noted("memory of B before", "rss_b_before", Unit::Bytes),
            noted("memory of B after", "rss_b_after", Unit::Bytes),
        ],
        others: &[],
    },
];
