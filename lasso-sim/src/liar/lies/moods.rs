//! A liar that is silent, answers checks only, or answers everything and is not ready, in turn.

use lasso_core::frame::TopologyFrame;

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "moods",
    summary: "is silent, answers checks only, or answers all and is not ready, in turn",
    weight: 2,
    make: || Box::<Moods>::default(),
};

#[derive(Debug, Clone, Copy)]
enum Mood {
    Silent,
    ChecksOnly,
    NotReady,
}

/// Its moods, each with its first tick. A node that checks it every two seconds and requests its description
/// every ten sees it go through each state.
const MOODS: [(u32, Mood); 7] = [
    (0, Mood::Silent),
    (200, Mood::ChecksOnly),
    (260, Mood::Silent),
    (340, Mood::ChecksOnly),
    (360, Mood::NotReady),
    (600, Mood::Silent),
    (700, Mood::NotReady),
];

#[derive(Debug, Default)]
struct Moods {
    ticks: u32,
}

impl Moods {
    fn mood(&self) -> Mood {
        let past = MOODS.iter().rev().find(|(from, _)| *from <= self.ticks);
        past.map_or(Mood::Silent, |(_, mood)| *mood)
    }
}

impl Lie for Moods {
    fn ignores(&self, frame: &TopologyFrame) -> bool {
        match self.mood() {
            Mood::Silent => true,
            Mood::ChecksOnly => !matches!(frame, TopologyFrame::Check { .. }),
            Mood::NotReady => false,
        }
    }

    fn is_ready(&self) -> bool {
        false
    }

    fn tick(&mut self, _says: &mut Says<'_>) {
        self.ticks += 1;
    }
}
