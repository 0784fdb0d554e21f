//! Rows as they come from another node: never more than the bound, whatever was sent.

use core::fmt;
use core::ops::Deref;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{PartialRow, ROWS_MAX};

/// The rows of one part. Of what a node sends, the first [`ROWS_MAX`] are taken, and as many names
/// beside all of them; what is beyond is read over, without memory for it, and counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    taken: Vec<PartialRow>,
    left_out: u64,
}

impl Rows {
    /// Rows that were sent and not taken.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }
}

impl From<Vec<PartialRow>> for Rows {
    fn from(mut taken: Vec<PartialRow>) -> Self {
        let left_out = taken.len().saturating_sub(ROWS_MAX) as u64;
        taken.truncate(ROWS_MAX);
        let mut room = ROWS_MAX;
        for row in &mut taken {
            row.others.truncate(room);
            room -= row.others.len();
        }
        Rows { taken, left_out }
    }
}

impl Deref for Rows {
    type Target = [PartialRow];

    fn deref(&self) -> &[PartialRow] {
        &self.taken
    }
}

impl IntoIterator for Rows {
    type Item = PartialRow;
    type IntoIter = std::vec::IntoIter<PartialRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.taken.into_iter()
    }
}

impl Serialize for Rows {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.taken.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Rows {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AtMost;

        impl<'de> Visitor<'de> for AtMost {
            type Value = Rows;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Rows, A::Error> {
                let (mut rows, mut room) = (Rows::default(), ROWS_MAX);
                while rows.taken.len() < ROWS_MAX {
                    let Some(mut row) = seq.next_element::<PartialRow>()? else {
                        return Ok(rows);
                    };
                    row.others.truncate(room);
                    room -= row.others.len();
                    rows.taken.push(row);
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    rows.left_out += 1;
                }
                Ok(rows)
            }
        }

        deserializer.deserialize_seq(AtMost)
    }
}
