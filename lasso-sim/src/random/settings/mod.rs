//! The settings and identities that a plan may give to nodes, in families: a new one is a function and a line
//! in [`ALL`]. Keys in a node's own table stay as they are.

mod bounds;
mod identity;
mod times;

use core::ops::Range;

use lasso_core::config::Settings;

use super::dice::Dice;
use crate::scenario::{Kind, Table, Value};

/// Settings that are drawn together, or not at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Family {
    /// Its name under `settings`.
    pub(crate) key: &'static str,
    /// What it does, in one line.
    pub(crate) summary: &'static str,
    /// It is part of `all`.
    pub(crate) usual: bool,
    /// Draws it for all nodes.
    pub(crate) draw: fn(&mut Dice, &mut [Draft]),
}

const fn usual(
    key: &'static str,
    summary: &'static str,
    draw: fn(&mut Dice, &mut [Draft]),
) -> Family {
    Family {
        key,
        summary,
        usual: true,
        draw,
    }
}

/// Every family.
pub(crate) const ALL: &[Family] = &[
    usual("ticks", "tick times that differ", times::ticks),
    usual(
        "health",
        "intervals of health checks that differ",
        times::health,
    ),
    usual(
        "dials",
        "how fast and how many peers a node dials",
        times::dials,
    ),
    usual(
        "polls",
        "how often nodes ask DNS, and how soon they forget",
        times::polls,
    ),
    usual("lanes", "lanes of a few KiB", bounds::lanes),
    usual(
        "messages",
        "largest messages of a few KiB",
        bounds::messages,
    ),
    usual("queues", "queues of a few messages", bounds::queues),
    usual("topics", "few topics", bounds::topics),
    usual(
        "memory",
        "so few topics that some are forgotten",
        bounds::memory,
    ),
    usual("handlers", "few calls at a time", bounds::handlers),
    usual("handshakes", "few handshakes at a time", bounds::handshakes),
    usual(
        "viewers",
        "short windows and queues of live events",
        bounds::viewers,
    ),
    usual(
        "pages",
        "few pages of metrics, and nodes without",
        bounds::pages,
    ),
    usual(
        "cookies",
        "two secrets, each accepted by all",
        identity::cookies,
    ),
    usual("roles", "roles", identity::roles),
    usual("regions", "regions", identity::regions),
    usual(
        "releases",
        "versions of the application",
        identity::releases,
    ),
    usual(
        "apps",
        "two applications that form one cluster",
        identity::apps,
    ),
    usual(
        "clocks",
        "wall clocks that differ from the start",
        identity::clocks,
    ),
    Family {
        key: "overlap",
        summary: "links are closed until every island is fully connected; not part of `all`",
        usual: false,
        draw: bounds::overlap,
    },
];

/// The draws for one table of `[nodes]`.
#[derive(Debug)]
pub(crate) struct Draft {
    /// The settings that the file gives it.
    pub(crate) before: Settings,
    /// Keys of the node, each with its value as in a file.
    node: Vec<(&'static str, String)>,
    /// Keys of its settings.
    settings: Vec<(&'static str, String)>,
}

impl Draft {
    pub(crate) fn new(before: Settings) -> Self {
        Draft {
            before,
            node: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Gives the node a key.
    pub(crate) fn node(&mut self, key: &'static str, value: impl Into<String>) {
        self.node.push((key, value.into()));
    }

    /// Gives the node a setting.
    pub(crate) fn set(&mut self, key: &'static str, value: impl Into<String>) {
        self.settings.push((key, value.into()));
    }

    /// Writes the draws into the node's table, except for keys that the table has already.
    pub(crate) fn write(self, table: &mut Table, span: &Range<usize>) {
        fill(table, &self.node, span);
        if self.settings.is_empty() {
            return;
        }
        if table.get("settings").is_none() {
            let entries = Vec::new();
            let span = span.clone();
            let empty = Table {
                span: span.clone(),
                entries,
            };
            let kind = Kind::Table(empty);
            table.set("settings", Value { span, kind });
        }
        if let Some(Value {
            kind: Kind::Table(settings),
            ..
        }) = table.get_mut("settings")
        {
            fill(settings, &self.settings, span);
        }
    }
}

fn fill(table: &mut Table, keys: &[(&'static str, String)], span: &Range<usize>) {
    for (key, value) in keys {
        if table.get(key).is_none() {
            let made = Table::fragment(&format!("{key} = {value}"), span);
            let made = made.expect("a key with a value, made by a family");
            for (key, value) in made.entries {
                table.set(&key.text, value);
            }
        }
    }
}
