//! What the end of a dial teaches the node that dialled.
//!
//! One table for all reasons: [`CloseReason::lesson`]. `docs/architecture.md` has the same one, and a test
//! compares the two.
//!
//! It decides nothing about links that stood, and nothing for the side that was dialled.

use super::CloseReason;

/// What follows for the candidate whose dial ended without a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lesson {
    /// The address is this node's own. It is no candidate and not expected, and it is not dialled again while
    /// DNS or the configuration names it.
    OwnAddress,
    /// Another process bears this node's name. Where that process is the one that was dialled, its address
    /// counts as this node's: it is no further node that is expected. It is dialled again like after
    /// [`Lesson::Again`], as the name may become free.
    OwnName,
    /// Only an operator can change it, or others that leave: dialled again no sooner than 30 s later.
    Wait,
    /// A later life of this node's name is known: this node goes on above it and dials everybody anew.
    Renumber,
    /// Another connection of the pair counts; the dial is no failure.
    NoFailure,
    /// It may pass: dialled again after 0.5 s, doubling to 5 s, and 30 s once it has failed for 10 min.
    Again,
}

impl Lesson {
    /// The consequence, as the table in the documentation has it.
    pub fn consequence(self) -> &'static str {
        match self {
            Lesson::OwnAddress => {
                "no candidate, not expected, and not dialled while DNS or the configuration names it"
            }
            Lesson::OwnName => {
                "dialled again within 5 s; an address whose process bears the name counts as no further node"
            }
            Lesson::Wait => "dialled again after 30 s at the earliest",
            Lesson::Renumber => {
                "this node goes on under a later incarnation and dials everybody anew"
            }
            Lesson::NoFailure => "no failure; dialled again only if no link stands",
            Lesson::Again => "dialled again within 5 s; within 30 s once it has failed for 10 min",
        }
    }
}

impl CloseReason {
    /// What the node that dialled learns from this end of its dial, whichever side closed.
    pub fn lesson(&self) -> Lesson {
        match self {
            CloseReason::Myself => Lesson::OwnAddress,
            CloseReason::NameTaken => Lesson::OwnName,
            CloseReason::Version
            | CloseReason::NoCommonVersion
            | CloseReason::WrongCookie
            | CloseReason::Full
            | CloseReason::OtherCluster { .. }
            | CloseReason::OtherBasename { .. }
            | CloseReason::BadAddress => Lesson::Wait,
            CloseReason::StaleIncarnation { .. } => Lesson::Renumber,
            CloseReason::Duplicate | CloseReason::Superseded => Lesson::NoFailure,
            CloseReason::Garbage
            | CloseReason::NotLasso
            | CloseReason::BadRecord
            | CloseReason::Replayed
            | CloseReason::HandshakeTimeout
            | CloseReason::TooManyHandshakes
            | CloseReason::TooLarge
            | CloseReason::Replaced
            | CloseReason::Silent
            | CloseReason::ControlLaneFull
            | CloseReason::Left
            | CloseReason::Renumbered
            | CloseReason::Transport
            | CloseReason::ConnectTimeout
            | CloseReason::Overlap
            | CloseReason::Unknown => Lesson::Again,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::tests::every_reason;

    /// One of each reason, in the order of their names.
    fn all() -> Vec<CloseReason> {
        let mut all = every_reason();
        all.sort_by_key(|reason| {
            let mut names = CloseReason::NAMES.iter();
            names.position(|name| *name == reason.name())
        });
        let names: Vec<&str> = all.iter().map(CloseReason::name).collect();
        assert_eq!(names, CloseReason::NAMES, "a reason is missing");
        all
    }

    #[test]
    fn the_table_in_the_documentation_is_the_one_in_the_code() {
        let text = include_str!("../../../docs/architecture.md");
        let section = text.split("### What a refusal teaches").nth(1);
        let section = section.expect("the section is there");
        let rows = section.lines().skip_while(|line| !line.starts_with('|'));
        let told: Vec<&str> = rows
            .skip(2)
            .take_while(|line| line.starts_with('|'))
            .collect();
        let meant: Vec<String> = all()
            .iter()
            .map(|reason| {
                format!(
                    "| `{}` | {} |",
                    reason.name(),
                    reason.lesson().consequence()
                )
            })
            .collect();
        assert_eq!(told, meant);
    }
}
