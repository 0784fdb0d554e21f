//! Dead letters: events that a receiver rejected for good, kept for people to look at.
//!
//! 1. The list never refuses a letter: the oldest makes room.
//! 2. Letters stand in the order of their numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::outbox::settings::OutboxSettings;
use crate::outbox::wire::{Event, Refusal};

/// An event that a receiver rejected for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The event.
    pub event: Event,
    /// Why.
    pub refusal: Refusal,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct DeadLetters {
    letters: BTreeMap<u64, DeadLetter>,
    bytes: usize,
}

impl DeadLetters {
    /// Takes a letter; the numbers of those that made room.
    pub(super) fn push(&mut self, letter: DeadLetter, settings: &OutboxSettings) -> Vec<u64> {
        self.bytes += letter.event.payload.len();
        self.letters.insert(letter.event.seq, letter);
        let mut gone = Vec::new();
        while self.letters.len() > settings.dead_max || self.bytes > settings.dead_bytes_max {
            let oldest = self.letters.keys().next().copied();
            let Some(oldest) = oldest.filter(|_| self.letters.len() > 1) else {
                break;
            };
            self.remove(oldest);
            gone.push(oldest);
        }
        gone
    }

    pub(super) fn remove(&mut self, seq: u64) -> Option<DeadLetter> {
        let letter = self.letters.remove(&seq)?;
        self.bytes -= letter.event.payload.len();
        Some(letter)
    }

    pub(super) fn get(&self, seq: u64) -> Option<&DeadLetter> {
        self.letters.get(&seq)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &DeadLetter> {
        self.letters.values()
    }

    pub(super) fn len(&self) -> usize {
        self.letters.len()
    }
}
