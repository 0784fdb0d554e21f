//! Names beside a row as they come from another node: never more than the bound, whatever was sent.

use core::fmt;
use core::ops::Deref;
use std::collections::{BTreeSet, btree_set};

use serde::de::{DeserializeSeed, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ROWS_MAX;
use crate::metrics::recorder::NAME_BYTES_MAX;

/// Names of methods or providers. At most [`ROWS_MAX`] are taken, and none that is longer than a
/// recorder's; the others are counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    taken: BTreeSet<String>,
    left_out: u64,
}

impl Names {
    /// Takes a name, unless it is too long or there are too many.
    pub fn insert(&mut self, name: &str) {
        if self.taken.contains(name) {
            return;
        }
        if self.taken.len() < ROWS_MAX && name.len() <= NAME_BYTES_MAX {
            self.taken.insert(name.to_owned());
        } else {
            self.left_out = self.left_out.saturating_add(1);
        }
    }

    /// Names that were not taken.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Leaves out what is beyond the first `most`.
    pub(super) fn truncate(&mut self, most: usize) {
        while self.taken.len() > most {
            self.taken.pop_last();
            self.left_out = self.left_out.saturating_add(1);
        }
    }
}

impl Deref for Names {
    type Target = BTreeSet<String>;

    fn deref(&self) -> &BTreeSet<String> {
        &self.taken
    }
}

impl IntoIterator for Names {
    type Item = String;
    type IntoIter = btree_set::IntoIter<String>;

    fn into_iter(self) -> Self::IntoIter {
        self.taken.into_iter()
    }
}

impl Serialize for Names {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.taken.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut room = ROWS_MAX;
        Within(&mut room).deserialize(deserializer)
    }
}

/// Reads names while there is room, which each name uses up, taken or not. The others are read over, without
/// memory for them.
pub(super) struct Within<'a>(pub(super) &'a mut usize);

impl<'de> DeserializeSeed<'de> for Within<'_> {
    type Value = Names;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Names, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Within<'_> {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names, A::Error> {
        let mut names = Names::default();
        while *self.0 > 0 {
            let Some(name) = seq.next_element::<String>()? else {
                return Ok(names);
            };
            *self.0 -= 1;
            names.insert(&name);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {
            names.left_out = names.left_out.saturating_add(1);
        }
        Ok(names)
    }
}
