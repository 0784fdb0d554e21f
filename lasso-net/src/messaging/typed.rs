//! Values of the application as bytes: MessagePack maps with named fields.

use bytes::Bytes;
use lasso_core::codec::depth;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes that are no value of the type that was asked for: the two sides differ in what they mean
/// by a topic or a method, or one of them is hostile. The sender's fault, or the asker's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes that are no `{wanted}`: {problem}")]
pub struct Undecodable {
    /// How many bytes there were.
    pub bytes: usize,
    /// The type that was asked for.
    pub wanted: &'static str,
    /// What is wrong with them, in at most 512 bytes: it may quote what they say.
    pub problem: String,
}

/// The value as bytes; else why it cannot be written.
pub(super) fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Bytes, String> {
    let bytes = rmp_serde::to_vec_named(value).map_err(|error| error.to_string())?;
    // Every receiver would refuse it.
    depth::check(&bytes).map_err(|unfit| unfit.to_string())?;
    Ok(bytes.into())
}

pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Undecodable> {
    let undecodable = |mut problem: String| {
        let mut end = problem.len().min(PROBLEM_BYTES_MAX);
        while !problem.is_char_boundary(end) {
            end -= 1;
        }
        problem.truncate(end);
        Undecodable {
            bytes: bytes.len(),
            wanted: core::any::type_name::<T>(),
            problem,
        }
    };
    depth::check(bytes).map_err(|unfit| undecodable(unfit.to_string()))?;
    rmp_serde::from_slice(bytes).map_err(|error| undecodable(error.to_string()))
}

/// A decoder quotes the text that it stumbles over, and a peer may have sent 16 MiB of it.
const PROBLEM_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Nested {
        End,
        Deeper(Box<Nested>),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        weight: u32,
        name: String,
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let value = Nested::Deeper(Box::new(Nested::Deeper(Box::new(Nested::End))));
        assert_eq!(decode(&encode(&value).unwrap()), Ok(value));
        assert_eq!(decode(&encode("text").unwrap()), Ok("text".to_owned()));
        assert_eq!(decode(&encode(&()).unwrap()), Ok(()));
    }

    #[test]
    fn a_field_of_a_newer_release_is_skipped() {
        let name = || "a".to_owned();
        let new = New {
            weight: 3,
            name: name(),
        };
        assert_eq!(decode(&encode(&new).unwrap()), Ok(Old { name: name() }));
    }

    #[test]
    fn what_every_receiver_would_refuse_is_refused_by_the_sender() {
        let mut value = Nested::End;
        for _ in 0..100 {
            value = Nested::Deeper(Box::new(value));
        }
        let problem = encode(&value).unwrap_err();
        assert_eq!(problem, "nested deeper than 64 levels");
    }

    #[test]
    fn what_is_nested_too_deep_never_reaches_the_decoder() {
        let mut bytes = Vec::new();
        for _ in 0..100_000 {
            bytes.extend_from_slice(b"\x81\xa6Deeper");
        }
        bytes.extend_from_slice(b"\xa3End");
        let error = decode::<Nested>(&bytes).unwrap_err();
        assert_eq!(error.problem, "nested deeper than 64 levels");
        assert_eq!(error.bytes, bytes.len());
    }

    #[test]
    fn a_long_text_in_the_wrong_place_is_quoted_in_part() {
        let error = decode::<Nested>(&encode(&"ä".repeat(5000)).unwrap()).unwrap_err();
        assert!((500..=512).contains(&error.problem.len()), "{error}");
    }

    #[test]
    fn a_value_of_another_type_is_told_with_the_type_that_was_wanted() {
        let error = decode::<u64>(&encode("text").unwrap()).unwrap_err();
        assert_eq!(error.wanted, "u64");
        let text = error.to_string();
        assert!(text.starts_with("5 bytes that are no `u64`: "), "{text}");
    }
}
