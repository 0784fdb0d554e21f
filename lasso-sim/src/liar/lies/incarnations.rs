//! A liar that claims impossible incarnations.

use lasso_core::name::{Identity, Incarnation};

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "incarnations",
    summary: "claims incarnations far in the future, then ones long past",
    weight: 3,
    make: || Box::<Incarnations>::default(),
};

/// 1 January of the year 2400, in milliseconds: plausible enough to be believed.
const YEAR_2400: u64 = 13_569_465_600_000;

/// How often it lies on one connection.
const TICKS: u32 = 10;

#[derive(Debug, Default)]
struct Incarnations {
    ticks: u32,
}

impl Lie for Incarnations {
    fn is_told_in_hello(&self) -> bool {
        true
    }

    fn claim(&self, identity: &mut Identity, attempt: u32) {
        identity.incarnation = Incarnation(match attempt % 4 {
            0 => u64::MAX,
            1 => YEAR_2400 + u64::from(attempt),
            2 => 0,
            _ => u64::MAX - u64::from(attempt),
        });
    }

    fn tick(&mut self, _says: &mut Says<'_>) {
        self.ticks += 1;
    }

    fn hangs_up(&self) -> bool {
        self.ticks >= TICKS
    }
}
