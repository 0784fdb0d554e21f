//! How deep a MessagePack value is, found without recursion.
//!
//! A decoder that is driven by a type recurses where the value nests, and a hostile peer can nest a
//! hundred thousand levels into a hundred kilobytes. So whatever comes from a peer and is decoded as
//! a type of the application is walked first: heads only, with a counter per level in place of the
//! stack.
//!
//! 1. Neither stack nor heap grow with the input.
//! 2. What passes is exactly one value, all there, and no deeper than [`LEVELS_MAX`].
//!
//! It does not look at what strings hold, nor at types.
//!
//! ```
//! use lasso_core::codec::depth::{check, Unfit};
//!
//! // [1, [2]]
//! assert_eq!(check(&[0x92, 1, 0x91, 2]), Ok(()));
//! assert_eq!(check(&[0x91; 100_000]), Err(Unfit::TooDeep));
//! ```

/// Arrays and maps that may stand in one another.
pub const LEVELS_MAX: usize = 64;

/// Why bytes are no value to be decoded. Their sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// More than [`LEVELS_MAX`] arrays and maps stand in one another.
    #[error("nested deeper than {LEVELS_MAX} levels")]
    TooDeep,
    /// The value ends before it is complete.
    #[error("cut off")]
    CutOff,
    /// Something follows the value.
    #[error("bytes after the value")]
    Trailing,
    /// A byte that begins no value.
    #[error("not MessagePack")]
    NotMessagePack,
}

/// Whether these bytes are one value of bounded depth.
///
/// # Errors
/// The first thing that is wrong with them.
pub fn check(bytes: &[u8]) -> Result<(), Unfit> {
    // How many values are still to come in each array or map that is open.
    let mut left = [0_u64; LEVELS_MAX];
    let mut level = 0;
    let mut rest = bytes;
    loop {
        let (value, after) = head(rest)?;
        rest = match value {
            Value::Plain { bytes } => after.get(bytes..).ok_or(Unfit::CutOff)?,
            Value::Holds { values: 0 } => after,
            Value::Holds { values } => {
                // Each value has at least one byte.
                if values > after.len() as u64 {
                    return Err(Unfit::CutOff);
                }
                *left.get_mut(level).ok_or(Unfit::TooDeep)? = values;
                level += 1;
                rest = after;
                continue;
            }
        };
        while level > 0 {
            left[level - 1] -= 1;
            if left[level - 1] > 0 {
                break;
            }
            level -= 1;
        }
        if level == 0 {
            return if rest.is_empty() {
                Ok(())
            } else {
                Err(Unfit::Trailing)
            };
        }
    }
}

/// What a head says.
enum Value {
    /// So many bytes follow, and belong to it.
    Plain { bytes: usize },
    /// So many values follow, and belong to it.
    Holds { values: u64 },
}

/// Reads one head.
fn head(bytes: &[u8]) -> Result<(Value, &[u8]), Unfit> {
    let (first, rest) = bytes.split_first().ok_or(Unfit::CutOff)?;
    let plain = |bytes| Ok((Value::Plain { bytes }, rest));
    let holds = |values| Ok((Value::Holds { values }, rest));
    match *first {
        0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => plain(0),
        small @ 0x80..=0x8f => holds(2 * u64::from(small & 0x0f)),
        small @ 0x90..=0x9f => holds(u64::from(small & 0x0f)),
        small @ 0xa0..=0xbf => plain(usize::from(small & 0x1f)),
        0xc1 => Err(Unfit::NotMessagePack),
        // Bytes and strings: one, two or four bytes of length.
        0xc4 | 0xd9 => long(rest, 1, 0),
        0xc5 | 0xda => long(rest, 2, 0),
        0xc6 | 0xdb => long(rest, 4, 0),
        // Extensions: a type besides.
        0xc7 => long(rest, 1, 1),
        0xc8 => long(rest, 2, 1),
        0xc9 => long(rest, 4, 1),
        fixed @ 0xd4..=0xd8 => plain(1 + (1 << (fixed - 0xd4))),
        0xcc | 0xd0 => plain(1),
        0xcd | 0xd1 => plain(2),
        0xca | 0xce | 0xd2 => plain(4),
        0xcb | 0xcf | 0xd3 => plain(8),
        0xdc => counted(rest, 2, 1),
        0xdd => counted(rest, 4, 1),
        0xde => counted(rest, 2, 2),
        0xdf => counted(rest, 4, 2),
    }
}

/// A value with a length of `width` bytes in front, and `more` bytes besides.
fn long(bytes: &[u8], width: usize, more: usize) -> Result<(Value, &[u8]), Unfit> {
    let (length, rest) = number(bytes, width)?;
    let bytes = usize::try_from(length).map_err(|_| Unfit::CutOff)?;
    let bytes = bytes.checked_add(more).ok_or(Unfit::CutOff)?;
    Ok((Value::Plain { bytes }, rest))
}

/// An array, or a map, which holds two values per entry.
fn counted(bytes: &[u8], width: usize, each: u64) -> Result<(Value, &[u8]), Unfit> {
    let (entries, rest) = number(bytes, width)?;
    let values = entries * each;
    Ok((Value::Holds { values }, rest))
}

fn number(bytes: &[u8], width: usize) -> Result<(u64, &[u8]), Unfit> {
    let (number, rest) = bytes.split_at_checked(width).ok_or(Unfit::CutOff)?;
    let number = number
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::*;

    /// Every kind of head that rmp-serde writes.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Tree {
        Nothing,
        Flag(bool),
        Signed(i64),
        Unsigned(u64),
        Real(f64),
        Half(f32),
        Text(String),
        Raw(#[serde(with = "raw")] Vec<u8>),
        List(Vec<Tree>),
        Map(BTreeMap<String, Tree>),
        Fields {
            left: Box<Tree>,
            right: Option<Box<Tree>>,
        },
    }

    mod raw {
        pub(super) fn serialize<S: serde::Serializer>(
            bytes: &[u8],
            to: S,
        ) -> Result<S::Ok, S::Error> {
            to.serialize_bytes(bytes)
        }

        pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
            from: D,
        ) -> Result<Vec<u8>, D::Error> {
            bytes::Bytes::deserialize(from).map(|bytes| bytes.to_vec())
        }

        use serde::Deserialize;
    }

    fn tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Nothing),
            any::<bool>().prop_map(Tree::Flag),
            any::<i64>().prop_map(Tree::Signed),
            any::<u64>().prop_map(Tree::Unsigned),
            any::<f64>().prop_map(Tree::Real),
            any::<f32>().prop_map(Tree::Half),
            "\\PC{0,300}".prop_map(Tree::Text),
            proptest::collection::vec(any::<u8>(), 0..70_000).prop_map(Tree::Raw),
        ];
        leaf.prop_recursive(6, 64, 20, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..20).prop_map(Tree::List),
                proptest::collection::btree_map("\\PC{0,40}", inner.clone(), 0..20)
                    .prop_map(Tree::Map),
                (inner.clone(), proptest::option::of(inner)).prop_map(|(left, right)| {
                    Tree::Fields {
                        left: Box::new(left),
                        right: right.map(Box::new),
                    }
                }),
            ]
        })
    }

    /// The same, by recursion.
    fn naive(bytes: &[u8], levels: usize) -> Result<&[u8], Unfit> {
        let (value, rest) = head(bytes)?;
        match value {
            Value::Plain { bytes } => rest.get(bytes..).ok_or(Unfit::CutOff),
            Value::Holds { values: 0 } => Ok(rest),
            Value::Holds { values } if values > rest.len() as u64 => Err(Unfit::CutOff),
            Value::Holds { .. } if levels == 0 => Err(Unfit::TooDeep),
            Value::Holds { values } => {
                (0..values).try_fold(rest, |rest, _| naive(rest, levels - 1))
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_passes_and_nothing_less_or_more_of_it(tree in tree()) {
            for bytes in [rmp_serde::to_vec(&tree).unwrap(), rmp_serde::to_vec_named(&tree).unwrap()] {
                prop_assert_eq!(check(&bytes), Ok(()));
                prop_assert_eq!(check(&bytes[..bytes.len() - 1]), Err(Unfit::CutOff));
                let more = [bytes.as_slice(), &[0xc0]].concat();
                prop_assert_eq!(check(&more), Err(Unfit::Trailing));
            }
        }

        #[test]
        fn any_bytes_are_judged_as_recursion_would_judge_them(
            bytes in proptest::collection::vec(
                prop_oneof![any::<u8>(), 0x80..=0x9f_u8, Just(0x91), Just(0xdc), Just(0)], 0..400,
            )
        ) {
            let expected = naive(&bytes, LEVELS_MAX).and_then(|rest| {
                if rest.is_empty() { Ok(()) } else { Err(Unfit::Trailing) }
            });
            prop_assert_eq!(check(&bytes), expected);
        }

        #[test]
        fn the_deepest_value_that_passes_has_the_most_levels(levels in 0..200_usize) {
            let mut bytes = vec![0x91; levels];
            bytes.push(0xc0);
            let expected = if levels <= LEVELS_MAX { Ok(()) } else { Err(Unfit::TooDeep) };
            prop_assert_eq!(check(&bytes), expected);
        }
    }

    #[test]
    fn a_million_levels_cost_no_stack() {
        assert_eq!(check(&vec![0x81; 1 << 20]), Err(Unfit::TooDeep));
    }

    #[test]
    fn a_count_beyond_what_is_there_is_refused_at_once() {
        assert_eq!(
            check(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(Unfit::CutOff)
        );
        assert_eq!(
            check(&[0xdf, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(Unfit::CutOff)
        );
        assert_eq!(
            check(&[0xc6, 0xff, 0xff, 0xff, 0xff, 1]),
            Err(Unfit::CutOff)
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        assert_eq!(check(&[]), Err(Unfit::CutOff));
        assert_eq!(check(&[0xc1]), Err(Unfit::NotMessagePack));
        assert_eq!(check(&[0x92, 1, 0xc1]), Err(Unfit::NotMessagePack));
    }
}
