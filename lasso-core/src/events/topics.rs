//! The names of the topics that the shipped parts use.
//!
//! Ids of profiles, accounts, chains and pipelines become parts of topics, and come from outside. A
//! [`Segment`] is such an id that was looked at: it holds no `:`, so that no id can reach into the next
//! part, and no account can be named such that its topic is another's.
//!
//! 1. Two different lists of segments never give the same topic.
//! 2. Every topic made here has at most [`TOPIC_BYTES_MAX`] bytes.
//!
//! ```
//! use lasso_core::events::topics::{self, Segment};
//!
//! let (profile, account) = (Segment::new("premium")?, Segment::new("acme")?);
//! assert_eq!(topics::decisions(&profile), "routing:decisions:premium");
//! assert_eq!(
//!     topics::account_decisions(&profile, &account),
//!     "routing:decisions:premium:account:acme",
//! );
//! assert!(Segment::new("premium:account:acme").is_err());
//! # Ok::<(), lasso_core::events::topics::SegmentError>(())
//! ```

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::name::Label;
#[cfg(doc)]
use crate::plane::pubsub::TOPIC_BYTES_MAX;

/// Longest segment, in bytes: the longest topic has two of them.
pub const SEGMENT_BYTES_MAX: usize = 100;

/// A text that cannot be a part of a topic. The fault of whoever chose the id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not 1 to {SEGMENT_BYTES_MAX} bytes without `:` and without invisible characters"
)]
pub struct SegmentError {
    /// The text that was refused, its control characters escaped, at most 100 characters of it.
    pub text: String,
}

/// The id of a profile, an account, a chain or a pipeline: 1 to 100 bytes without `:` and without
/// invisible characters. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Segment(Label);

impl Segment {
    /// Checks and takes an id.
    ///
    /// # Errors
    /// [`SegmentError`] when it is empty, longer than 100 bytes or holds a `:` or an invisible character.
    pub fn new(text: &str) -> Result<Self, SegmentError> {
        let fits = text.len() <= SEGMENT_BYTES_MAX && !text.contains(':');
        match Label::new("topic segment", text) {
            Ok(label) if fits => Ok(Segment(label)),
            _ => Err(SegmentError {
                text: text.escape_debug().take(SEGMENT_BYTES_MAX).collect(),
            }),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same text as a label.
    pub fn label(&self) -> &Label {
        &self.0
    }
}

impl TryFrom<String> for Segment {
    type Error = SegmentError;

    fn try_from(text: String) -> Result<Self, SegmentError> {
        Segment::new(&text)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Changes of the membership, as each node tells its own subscribers.
pub use crate::event::TOPOLOGY_TOPIC as TOPOLOGY;

/// Routing decisions of a profile, without their accounts.
pub fn decisions(profile: &Segment) -> String {
    format!("routing:decisions:{profile}")
}

/// Routing decisions of one account.
pub fn account_decisions(profile: &Segment, account: &Segment) -> String {
    format!("routing:decisions:{profile}:account:{account}")
}

/// Circuits that opened and closed.
pub fn circuits(profile: &Segment, chain: &Segment) -> String {
    format!("circuit:events:{profile}:{chain}")
}

/// Health of providers.
pub fn provider_pool(profile: &Segment, chain: &Segment) -> String {
    format!("provider_pool:events:{profile}:{chain}")
}

/// Block heights.
pub fn block_sync(profile: &Segment, chain: &Segment) -> String {
    format!("block_sync:{profile}:{chain}")
}

/// What became of a pipeline's flushes.
pub fn pipeline(id: &Segment) -> String {
    format!("pipeline:{id}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plane::pubsub::TOPIC_BYTES_MAX;

    fn segment(text: &str) -> Segment {
        Segment::new(text).unwrap()
    }

    fn all(profile: &Segment, other: &Segment) -> [String; 6] {
        [
            decisions(profile),
            account_decisions(profile, other),
            circuits(profile, other),
            provider_pool(profile, other),
            block_sync(profile, other),
            pipeline(other),
        ]
    }

    #[test]
    fn topics_are_spelled_as_documented() {
        let expected = [
            "routing:decisions:p",
            "routing:decisions:p:account:a",
            "circuit:events:p:a",
            "provider_pool:events:p:a",
            "block_sync:p:a",
            "pipeline:a",
        ];
        assert_eq!(all(&segment("p"), &segment("a")), expected);
    }

    #[test]
    fn what_could_name_another_topic_is_refused_also_when_it_is_read_from_bytes() {
        let table = ["", ":", "a:b", "a\n", "\u{0}", "a\u{85}b", &"x".repeat(101)];
        for text in table {
            assert!(Segment::new(text).is_err(), "{text:?}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Segment>(&json).is_err(), "{text:?}");
        }
        let longest = "x".repeat(100);
        assert_eq!(segment(&longest).as_str(), longest);
        let error = Segment::new("a:\n").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`a:\\n` is not 1 to 100 bytes")
        );
    }

    #[test]
    fn the_longest_segments_make_legal_topics() {
        let longest = segment(&"é".repeat(50));
        for topic in all(&longest, &longest) {
            assert!(topic.len() <= TOPIC_BYTES_MAX, "{}", topic.len());
        }
    }

    proptest! {
        #[test]
        fn two_pairs_of_ids_never_share_a_topic(
            one in ("[a-c]{1,3}", "[a-c]{1,3}"),
            two in ("[a-c]{1,3}", "[a-c]{1,3}"),
        ) {
            let of = |pair: &(String, String)| all(&segment(&pair.0), &segment(&pair.1));
            let (first, second) = (of(&one), of(&two));
            for (a, first) in first.iter().enumerate() {
                for (b, second) in second.iter().enumerate() {
                    let same = match a {
                        0 => one.0 == two.0,
                        5 => one.1 == two.1,
                        _ => one == two,
                    };
                    prop_assert_eq!(first == second, a == b && same);
                }
            }
        }

        #[test]
        fn any_text_is_a_segment_or_an_error(text in ".{0,120}") {
            if let Ok(segment) = Segment::new(&text) {
                prop_assert!(!segment.as_str().contains(':'));
                prop_assert_eq!(segment.as_str(), text);
            }
        }
    }
}
