//! The lies, one file each. A new one is a file here and a line in [`ALL`].

mod addresses;
mod another_name;
mod answers_of_others;
mod calls_without_end;
mod false_events;
mod false_losses;
mod huge_description;
mod incarnations;
mod interest_flood;
mod last_life;
mod late_description;
mod many_names;
mod moods;
mod numbers_backwards;
mod numbers_twice;
mod questions_without_end;
mod silent_calls;
mod silent_control;
mod silent_data;
mod unfinished_messages;

use core::fmt;

use lasso_core::frame::{PubSubFrame, TopologyFrame};
use lasso_core::name::Identity;

use super::Says;

/// All lies, by name.
pub const ALL: &[Entry] = &[
    addresses::ENTRY,
    another_name::ENTRY,
    answers_of_others::ENTRY,
    calls_without_end::ENTRY,
    false_events::ENTRY,
    false_losses::ENTRY,
    huge_description::ENTRY,
    incarnations::ENTRY,
    interest_flood::ENTRY,
    last_life::ENTRY,
    late_description::ENTRY,
    many_names::ENTRY,
    moods::ENTRY,
    numbers_backwards::ENTRY,
    numbers_twice::ENTRY,
    questions_without_end::ENTRY,
    silent_calls::ENTRY,
    silent_control::ENTRY,
    silent_data::ENTRY,
    unfinished_messages::ENTRY,
];

/// The lies that need the name of another node.
pub const CLAIMS: [&str; 2] = [another_name::ENTRY.name, last_life::ENTRY.name];

/// One line of the table.
#[derive(Debug)]
pub struct Entry {
    /// Its name in files.
    pub name: &'static str,
    /// The lie, in one line.
    pub summary: &'static str,
    /// Its weight when a plan draws a lie.
    pub weight: u32,
    /// Creates it, for one connection.
    pub make: fn() -> Box<dyn Lie>,
}

/// The behaviour of a liar. In everything that a lie does not override, the liar behaves as a member should.
pub trait Lie: fmt::Debug + Send {
    /// Changes the identity that it claims, on its n-th connection, counted from 0.
    fn claim(&self, _identity: &mut Identity, _attempt: u32) {}

    /// True when the claim itself is the lie.
    fn is_told_in_hello(&self) -> bool {
        false
    }

    /// True when it never reports how much data it has taken.
    fn mutes_data(&self) -> bool {
        false
    }

    /// Whether it reports that its application is ready.
    fn is_ready(&self) -> bool {
        true
    }

    /// True for a frame about the topology that it does not answer.
    fn ignores(&self, _frame: &TopologyFrame) -> bool {
        false
    }

    /// Its link has begun.
    fn linked(&mut self, _says: &mut Says<'_>) {}

    /// The node declares or withdraws interest in topics.
    fn interest(&mut self, _frame: &PubSubFrame, _says: &mut Says<'_>) {}

    /// The node calls. By default it answers that it serves nothing.
    fn called(&mut self, call: u64, says: &mut Says<'_>) {
        says.decline(call);
    }

    /// [`EVERY`](super::EVERY) has passed, and it has a link.
    fn tick(&mut self, _says: &mut Says<'_>) {}

    /// True when it closes the connection to try again under another identity.
    fn hangs_up(&self) -> bool {
        false
    }
}

/// True when the node declares interest in this topic.
fn wants(frame: &PubSubFrame, topic: &str) -> bool {
    matches!(frame, PubSubFrame::Interest { add, .. } if add.iter().any(|wanted| wanted == topic))
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_lie_has_a_name_of_its_own() {
        let mut names: Vec<&str> = ALL.iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
