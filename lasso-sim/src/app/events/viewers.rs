//! Viewers, each with its reading pace.

use std::collections::{BTreeMap, VecDeque};

use lasso_core::time::Instant;

use super::{EventAsk, EventSaw, Sight, View};
use crate::app::{Ask, Output, Reads, Saw};

#[derive(Debug)]
struct Viewer {
    name: String,
    reads: Reads,
    is_open: bool,
    /// A look is under way.
    looking: bool,
    /// When it reads next, if it has a pace.
    next: Instant,
}

/// All of one application.
#[derive(Debug, Default)]
pub(in crate::app) struct Viewers {
    all: BTreeMap<u32, Viewer>,
    next: u32,
}

impl Viewers {
    pub(in crate::app) fn view(&mut self, view: &View, out: &mut VecDeque<Output>) {
        for _ in 0..view.count {
            let viewer = self.next;
            self.next += 1;
            let new = Viewer {
                name: view.name.clone(),
                reads: view.reads,
                is_open: false,
                looking: false,
                next: Instant::ZERO,
            };
            self.all.insert(viewer, new);
            out.push_back(saw(EventSaw::Viewing {
                viewer,
                name: view.name.clone(),
                what: view.what.clone(),
                at_once: view.reads == Reads::AtOnce,
            }));
            let what = view.what.clone();
            out.push_back(ask(EventAsk::View { viewer, what }));
        }
    }

    pub(in crate::app) fn leave(&mut self, name: &str, out: &mut VecDeque<Output>) {
        self.all.retain(|viewer, at| {
            let leaves = at.name == name;
            if leaves {
                let viewer = *viewer;
                out.push_back(ask(EventAsk::Leave { viewer }));
                out.push_back(saw(EventSaw::Left { viewer }));
            }
            !leaves
        });
    }

    pub(in crate::app) fn is_open(&self, name: &str) -> bool {
        self.all.values().any(|viewer| viewer.name == name)
    }

    pub(in crate::app) fn on_viewing(
        &mut self,
        viewer: u32,
        error: Option<String>,
        out: &mut VecDeque<Output>,
    ) {
        if let Some(error) = error {
            self.all.remove(&viewer);
            out.push_back(saw(EventSaw::Refused { viewer, error }));
        } else if let Some(at) = self.all.get_mut(&viewer) {
            at.is_open = true;
            at.look(viewer, out);
        }
    }

    pub(in crate::app) fn on_seen(
        &mut self,
        now: Instant,
        viewer: u32,
        sight: Sight,
        out: &mut VecDeque<Output>,
    ) {
        // A viewer that has left meanwhile reads nothing any more.
        let Some(at) = self.all.get_mut(&viewer) else {
            return;
        };
        at.looking = false;
        out.push_back(saw(EventSaw::Seen { viewer, sight }));
        match at.reads {
            Reads::Paced(rate) => at.next = now + rate.time_for(1),
            Reads::AtOnce | Reads::Never => at.look(viewer, out),
        }
    }

    /// Makes those viewers read that are due.
    pub(in crate::app) fn due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        for (viewer, at) in &mut self.all {
            if at.next <= now {
                at.look(*viewer, out);
            }
        }
    }

    pub(in crate::app) fn poll_timeout(&self) -> Option<Instant> {
        let waits = |viewer: &&Viewer| {
            matches!(viewer.reads, Reads::Paced(_)) && viewer.is_open && !viewer.looking
        };
        let waiting = self.all.values().filter(waits);
        waiting.map(|viewer| viewer.next).min()
    }
}

impl Viewer {
    fn look(&mut self, viewer: u32, out: &mut VecDeque<Output>) {
        if self.is_open && !self.looking && self.reads != Reads::Never {
            self.looking = true;
            out.push_back(ask(EventAsk::Look { viewer }));
        }
    }
}

fn ask(ask: EventAsk) -> Output {
    Output::Ask(Ask::Events(ask))
}

fn saw(saw: EventSaw) -> Output {
    Output::Saw(Saw::Events(saw))
}
