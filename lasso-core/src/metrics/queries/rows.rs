//! Rows as they come from another node: never more than the bound, whatever was sent.

use core::fmt;
use core::ops::Deref;

use serde::de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::names::{Names, Within};
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
                    let Some(row) = seq.next_element_seed(Row(&mut room))? else {
                        return Ok(rows);
                    };
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

/// Reads a row, whose names take of the room that all rows have.
struct Row<'a>(&'a mut usize);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Name,
    Region,
    Tally,
    WindowCalls,
    Others,
    #[serde(other)]
    Later,
}

impl<'de> DeserializeSeed<'de> for Row<'_> {
    type Value = PartialRow;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<PartialRow, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Row<'_> {
    type Value = PartialRow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PartialRow, A::Error> {
        let (mut name, mut region, mut tally) = (None, None, None);
        let (mut window_calls, mut others) = (0, Names::default());
        while let Some(field) = map.next_key()? {
            match field {
                Field::Name => name = Some(map.next_value()?),
                Field::Region => region = Some(map.next_value()?),
                Field::Tally => tally = Some(map.next_value()?),
                Field::WindowCalls => window_calls = map.next_value()?,
                Field::Others => others = map.next_value_seed(Within(self.0))?,
                Field::Later => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(PartialRow {
            name: name.ok_or_else(|| A::Error::missing_field("name"))?,
            region: region.ok_or_else(|| A::Error::missing_field("region"))?,
            tally: tally.ok_or_else(|| A::Error::missing_field("tally"))?,
            window_calls,
            others,
        })
    }
}
