//! Tickets for pages: a browser's `EventSource` can send no key, and a key in a URL ends up in logs.
//!
//! Who has a key gets a ticket for it, which opens `/events` once, within [`LIFE`], at the node that gave
//! it. What a log keeps of it opens nothing.
//!
//! 1. A ticket opens once, and never after its time.
//! 2. There are at most [`TICKETS_MAX`], and of one caller [`OWN_MAX`]: a new one of that caller takes the place of its
//!    oldest.
//! 3. Only hashes are kept, so that looking one up tells nothing of the others.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::admission::Caller;

/// The machine. See the module's text.
#[derive(Debug, Default)]
pub(crate) struct Tickets {
    waiting: HashMap<[u8; 32], Waiting>,
    given: u64,
    shed: u64,
}

#[derive(Debug)]
struct Waiting {
    caller: Caller,
    until: Instant,
    /// In which order they were given.
    number: u64,
}

/// There are as many tickets as there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Tickets {
    /// Gives a caller the ticket that was drawn, which nobody can guess; its text.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub(crate) fn give(
        &mut self,
        now: Instant,
        caller: Caller,
        drawn: &[u8; 32],
    ) -> Result<String, NoRoom> {
        self.waiting.retain(|_, waiting| now < waiting.until);
        let own = self.waiting.iter();
        let own = own.filter(|(_, waiting)| waiting.caller == caller);
        let own: Vec<_> = own.map(|(hash, one)| (one.number, *hash)).collect();
        if own.len() >= OWN_MAX {
            let oldest = own.iter().min().map(|(_, hash)| *hash);
            self.waiting.remove(&oldest.unwrap_or_default());
            self.shed += 1;
        } else if self.waiting.len() >= TICKETS_MAX {
            self.shed += 1;
            return Err(NoRoom);
        }
        let text: String = drawn.iter().map(|byte| format!("{byte:02x}")).collect();
        self.given += 1;
        let waiting = Waiting {
            caller,
            until: now + LIFE,
            number: self.given,
        };
        self.waiting.insert(Sha256::digest(&text).into(), waiting);
        Ok(text)
    }

    /// Takes a ticket: whose it is, if it is one.
    pub(crate) fn take(&mut self, now: Instant, text: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        let waiting = self.waiting.remove(&hash)?;
        (now < waiting.until).then_some(waiting.caller)
    }

    /// Tickets that were refused, or gave way before their time.
    pub(crate) fn shed(&self) -> u64 {
        self.shed
    }
}

/// From a ticket's beginning to its end: enough to connect on a bad network.
pub(crate) const LIFE: Duration = Duration::from_secs(30);
/// Tickets at a time; some 200 bytes each.
const TICKETS_MAX: usize = 1_024;
/// Of these, those of one caller.
const OWN_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::keys::Bearer;
    use super::*;
    use lasso::Segment;

    fn caller(name: &str) -> Caller {
        Caller {
            profile: Segment::new("p").unwrap(),
            bearer: Bearer::Account(Segment::new(name).unwrap()),
        }
    }

    fn drawn(number: u32) -> [u8; 32] {
        let mut drawn = [0; 32];
        drawn[..4].copy_from_slice(&number.to_be_bytes());
        drawn
    }

    #[test]
    fn a_ticket_opens_once_and_within_its_time() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        let ticket = tickets.give(now, caller("acme"), &drawn(1)).unwrap();
        assert_eq!(ticket.len(), 64);
        assert_eq!(tickets.take(now, "any"), None);
        assert_eq!(tickets.take(now, &ticket), Some(caller("acme")));
        assert_eq!(tickets.take(now, &ticket), None);
        let ticket = tickets.give(now, caller("acme"), &drawn(2)).unwrap();
        assert_eq!(tickets.take(now + LIFE, &ticket), None);
    }

    #[test]
    fn tickets_are_bounded_and_nobody_takes_those_of_others() {
        let now = Instant::now();
        let mut tickets = Tickets::default();
        let first = tickets.give(now, caller("acme"), &drawn(0)).unwrap();
        for number in 1..=OWN_MAX as u32 {
            tickets.give(now, caller("acme"), &drawn(number)).unwrap();
        }
        assert_eq!((tickets.waiting.len(), tickets.shed()), (OWN_MAX, 1));
        assert_eq!(tickets.take(now, &first), None, "it gave way");
        for number in OWN_MAX as u32..TICKETS_MAX as u32 {
            let name = format!("a{}", number / 10);
            let drawn = drawn(1_000 + number);
            tickets.give(now, caller(&name), &drawn).unwrap();
        }
        let refused = tickets.give(now, caller("late"), &drawn(9_999));
        assert_eq!((refused, tickets.shed()), (Err(NoRoom), 2));
        let later = tickets.give(now + LIFE, caller("late"), &drawn(9_999));
        assert!(later.is_ok() && tickets.waiting.len() == 1);
    }
}
