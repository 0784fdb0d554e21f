//! Lists from a peer whose length is checked before anything is made of them.
//!
//! 1. A list that says that it has more than `N` elements is refused before the first one is read.
//! 2. One that does not say so is refused at the element that is too many.

use core::fmt;
use core::marker::PhantomData;
use std::collections::BTreeSet;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of at most `N` elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AtMost<T, const N: usize>(pub(crate) Vec<T>);

impl<T, const N: usize> Default for AtMost<T, N> {
    fn default() -> Self {
        AtMost(Vec::new())
    }
}

impl<T: Serialize, const N: usize> Serialize for AtMost<T, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const N: usize> Deserialize<'de> for AtMost<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let visitor: Elements<T, Vec<T>, N> = Elements(PhantomData);
        deserializer.deserialize_seq(visitor).map(AtMost)
    }
}

/// Reads a set of at most `N` elements, for `deserialize_with`.
pub(crate) fn set<'de, T, D, const N: usize>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
where
    T: Deserialize<'de> + Ord,
    D: Deserializer<'de>,
{
    let visitor: Elements<T, BTreeSet<T>, N> = Elements(PhantomData);
    deserializer.deserialize_seq(visitor)
}

/// Puts elements into `C`.
struct Elements<T, C, const N: usize>(PhantomData<(T, C)>);

impl<'de, T, C, const N: usize> Visitor<'de> for Elements<T, C, N>
where
    T: Deserialize<'de>,
    C: Default + Extend<T>,
{
    type Value = C;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {N} elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<C, A::Error> {
        let announced = seq.size_hint().unwrap_or(0);
        if announced > N {
            return Err(A::Error::invalid_length(announced, &self));
        }
        let (mut taken, mut count) = (C::default(), 0);
        while let Some(element) = seq.next_element()? {
            count += 1;
            if count > N {
                return Err(A::Error::invalid_length(count, &self));
            }
            taken.extend([element]);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Three = AtMost<u8, 3>;

    #[test]
    fn a_list_is_taken_up_to_its_bound() {
        let read = |bytes: &[u8]| rmp_serde::from_slice::<Three>(bytes);
        assert!(read(&[0x90]).unwrap().0.is_empty());
        assert_eq!(read(&[0x93, 1, 2, 3]).unwrap().0, [1, 2, 3]);
        assert!(read(&[0x94, 1, 2, 3, 4]).is_err());
    }

    #[test]
    fn a_count_is_refused_before_the_first_element_is_read() {
        // The first element is nothing that could be read.
        let why = rmp_serde::from_slice::<Three>(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0xc1]);
        let why = why.unwrap_err().to_string();
        assert!(why.contains("at most 3"), "{why}");
    }

    #[test]
    fn a_list_that_does_not_say_its_length_is_cut_off_too() {
        let why = serde_json::from_str::<Three>("[1, 2, 3, 4, nonsense").unwrap_err();
        assert!(why.to_string().contains("at most 3"), "{why}");
    }
}
