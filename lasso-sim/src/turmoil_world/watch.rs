//! Observes the nodes from inside their drivers, for the trace, the invariants and the events.

use std::sync::Arc;

use lasso_core::node::{ConnId, Input, Node, Output};
use lasso_core::time::Instant;
use lasso_net::Observer;
use parking_lot::Mutex;
use std::collections::BTreeMap;

use crate::app::Saw;
use crate::invariants::{Asked, Invariants, Living, Witness};
use crate::record::{Record, digest_input, digest_received};
use crate::scenario::NodeId;

/// The record and the invariants. The world holds them, and lends them to the observers while the hosts run.
pub(super) struct Books {
    pub(super) record: Record,
    pub(super) invariants: Invariants,
}

/// See the module's text.
pub(super) struct Watch {
    /// Present while the hosts run.
    pub(super) books: Option<Books>,
    /// Whether something visible to checks may have changed since this was last set to false.
    pub(super) changed: bool,
    /// The present life of each node.
    pub(super) lives: Vec<u32>,
    pub(super) inputs_handled: u64,
    /// When the last byte arrived on each connection of the present lives.
    last_bytes: LastBytes,
}

#[derive(Default)]
struct LastBytes(BTreeMap<(NodeId, ConnId), Instant>);

impl Witness for LastBytes {
    fn last_byte(&self, node: NodeId, conn: ConnId) -> Option<Instant> {
        self.0.get(&(node, conn)).copied()
    }
}

impl Watch {
    pub(super) fn new(nodes: usize) -> Self {
        Watch {
            books: None,
            changed: false,
            lives: vec![0; nodes],
            inputs_handled: 0,
            last_bytes: LastBytes::default(),
        }
    }

    /// From now on reports of this node's earlier lives are ignored.
    pub(super) fn new_life(&mut self, node: NodeId) -> u32 {
        self.lives[node.index()] += 1;
        self.last_bytes.0.retain(|(of, _), _| *of != node);
        self.lives[node.index()]
    }

    /// Lets the invariants evaluate everything that is due.
    pub(super) fn advance(&mut self, now: Instant) {
        let Some(Books { invariants, .. }) = &mut self.books else {
            return;
        };
        while invariants.poll_timeout().is_some_and(|due| due <= now) {
            invariants.advance(now, &self.last_bytes);
            self.changed = true;
        }
    }
}

/// Watches one life of one node.
pub(super) struct Eye {
    pub(super) watch: Arc<Mutex<Watch>>,
    pub(super) node: NodeId,
    pub(super) life: u32,
    /// When it started, on the world's clock.
    pub(super) boot: Instant,
}

impl Eye {
    fn look(&self, now: Instant, at: impl FnOnce(&mut Watch, &mut Books, Instant)) {
        let mut watch = self.watch.lock();
        if watch.lives[self.node.index()] != self.life {
            return;
        }
        if let Some(mut books) = watch.books.take() {
            at(&mut watch, &mut books, self.boot + now.since_start());
            watch.books = Some(books);
        }
    }
}

impl Eye {
    /// The user's application writes lines of its own. `now` is the process's time.
    pub(super) fn note(&self, now: Instant, text: &str) {
        self.look(now, |watch, Books { record, .. }, now| {
            watch.changed = true;
            for line in text.lines() {
                record.line(now, self.node, format_args!("notes: {line}"));
            }
        });
    }

    /// Notes a change that the test must see.
    pub(super) fn stir(&self) {
        self.watch.lock().changed = true;
    }

    /// The application of this life has observed something.
    pub(super) fn saw(&self, now: Instant, saw: &Saw) {
        self.look(now, |watch, Books { record, invariants }, now| {
            watch.changed = true;
            invariants.saw(now, self.node, saw);
            record.saw(now, self.node, saw);
        });
    }

    /// A handler of this life gets a question.
    pub(super) fn asked(&self, now: Instant, asked: &Asked<'_>) {
        self.look(now, |_, books, now| {
            books.invariants.asked(now, self.node, asked);
        });
    }
}

impl Observer for Eye {
    fn input(&self, now: Instant, input: &Input) {
        self.look(now, |watch, books, now| {
            watch.inputs_handled += 1;
            let digest = books.record.trace.digest();
            digest.word(now.as_nanos() << 10 | u64::from(self.node.0 & 0x3ff));
            digest_input(digest, input);
            if let Input::Resolved {
                query,
                family,
                answer,
            } = input
            {
                let (invariants, question) = (&mut books.invariants, (*query, *family));
                invariants.resolved(now, self.node, question, answer);
            }
            match input {
                Input::Received { conn, .. } => {
                    watch.last_bytes.0.insert((self.node, *conn), now);
                }
                Input::Tick
                | Input::Resolved { .. }
                | Input::Written { .. }
                | Input::Frame { .. } => {}
                Input::Connected { .. }
                | Input::Accepted { .. }
                | Input::Closed { .. }
                | Input::Broken { .. }
                | Input::Command(_) => watch.changed = true,
            }
        });
    }

    fn received(&self, now: Instant, conn: ConnId, bytes: &[u8]) {
        self.look(now, |watch, books, now| {
            watch.inputs_handled += 1;
            let digest = books.record.trace.digest();
            digest.word(now.as_nanos() << 10 | u64::from(self.node.0 & 0x3ff));
            digest_received(digest, conn, bytes);
            watch.last_bytes.0.insert((self.node, conn), now);
        });
    }

    fn output(&self, now: Instant, output: &Output) {
        self.look(now, |watch, Books { record, invariants }, now| {
            watch.changed |= !matches!(
                output,
                Output::Send { .. } | Output::Resolve { .. } | Output::Linked { .. }
            );
            // The invariants read the state of connections before they are closed.
            invariants.output(now, self.node, output, &watch.last_bytes);
            match output {
                Output::Close { conn, reason } => {
                    watch.last_bytes.0.remove(&(self.node, *conn));
                    record.line(now, self.node, format_args!("closes {conn}: {reason}"));
                }
                Output::Event(event) => {
                    record.event(now, self.node, event.clone());
                }
                Output::Notice(notice) => record.notice(now, self.node, notice.clone()),
                Output::Resolve { .. }
                | Output::Dial { .. }
                | Output::Send { .. }
                | Output::Linked { .. }
                | Output::Plane(_)
                | Output::Stopped => {}
            }
        });
    }

    fn settled(&self, now: Instant, node: &Node) {
        self.look(now, |_, books, now| {
            let living = Living {
                node,
                boot: self.boot,
                // The tables of events and metrics belong to other tasks.
                tables: None,
            };
            books.invariants.after(now, self.node, &living);
        });
    }
}
