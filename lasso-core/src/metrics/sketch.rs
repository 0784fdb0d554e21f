//! Latencies of which percentiles can be told, and that can be merged.
//!
//! A sketch counts values in buckets that grow with the value: each power of two is cut into 64
//! equal parts, so that a bucket is at most 1/64 as wide as the values in it are large, and its
//! middle is within 1/128 (0.78 %) of each of them. This is DDSketch (Masson, Rim, Lee, VLDB 2019)
//! with its linearly interpolated mapping and a fixed gamma: the index is a shift and a count of
//! leading zeros, hence the same on every platform, and the counts are integers, hence merging is
//! addition.
//!
//! 1. Two sketches that saw the same values are equal, however the values were split among sketches
//!    and in whatever order those were merged.
//! 2. A percentile is within 1 % of a value that was really seen at that rank, unless it lies in a
//!    bucket that took in collapsed values (see [`Sketch::collapsed`]).
//! 3. There are never more than [`BUCKETS_MAX`] buckets: 32 powers of two, below the largest value
//!    seen. Smaller values are counted in the lowest bucket: percentiles err upwards, and only low
//!    ones.
//!
//! It does not know what it counts: nanoseconds are the users' choice, by way of [`Duration`].
//!
//! ```
//! use core::time::Duration;
//! use lasso_core::metrics::sketch::Sketch;
//!
//! let (mut near, mut far) = (Sketch::new(), Sketch::new());
//! for millis in 1..=900 {
//!     near.record(Duration::from_millis(millis));
//! }
//! for millis in 901..=1_000 {
//!     far.record(Duration::from_millis(millis));
//! }
//! near.merge(&far);
//! let p95 = near.percentile(95).expect("there are values");
//! assert!(p95.abs_diff(Duration::from_millis(950)) < Duration::from_micros(9_500));
//! assert_eq!(Sketch::new().percentile(50), None);
//! ```

use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Each power of two is cut into 2 to the power of this many parts. 50 parts would do for 1 %; 64
/// make the index a shift.
const PART_BITS: u32 = 6;
const PARTS: usize = 1 << PART_BITS;
/// The index of the largest value plus one.
const INDEX_END: usize = (64 - PART_BITS as usize) * PARTS + PARTS;

/// Most buckets of one sketch, 16 KiB of memory: from 1 µs to more than an hour.
pub const BUCKETS_MAX: usize = 32 * PARTS;
/// First byte of an encoded sketch: layout and width of the buckets. Sketches with different
/// buckets can't be merged.
const LAYOUT: u8 = PART_BITS as u8;

/// Why bytes are not a sketch. The sender's fault; nothing was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// Made by a release whose buckets are others.
    #[error("sketch of layout {0}; this release knows layout 6")]
    Layout(u8),
    /// The bytes end within a number, or a number has more than 64 bits.
    #[error("sketch is cut off or holds a number of more than 64 bits")]
    Number,
    /// A bucket that does not exist, or too many, or an empty one.
    #[error("sketch names a bucket that is empty, or beyond the {BUCKETS_MAX} it may have")]
    Bucket,
}

/// See the module. Encoded by serde as bytes: about two bytes per bucket in use.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Sketch {
    /// Counts from bucket `first` on, in whole powers of two. The first and the last of these are in
    /// use, so that equal contents have equal representations.
    counts: Vec<u64>,
    /// Index of the first bucket; a multiple of [`PARTS`].
    first: usize,
    /// All values.
    count: u64,
    /// Values that are counted in a bucket above their own.
    collapsed: u64,
}

impl Sketch {
    /// A sketch that has seen nothing, and holds no memory.
    pub const fn new() -> Self {
        Sketch {
            counts: Vec::new(),
            first: 0,
            count: 0,
            collapsed: 0,
        }
    }

    /// Counts one value; what has more than 64 bits of nanoseconds counts as 584 years.
    pub fn record(&mut self, value: Duration) {
        let nanos = u64::try_from(value.as_nanos()).unwrap_or(u64::MAX);
        self.add(index_of(nanos), 1);
    }

    /// Adds all that `other` has seen.
    pub fn merge(&mut self, other: &Sketch) {
        if other.count == 0 {
            return;
        }
        // From the top, so that the floor is known before anything is put upon it.
        for (index, count) in other.buckets().rev() {
            self.add(index, count);
        }
        // What was collapsed there lies on that floor: where this one is higher, it was counted as
        // collapsed just now.
        if self.floor() == other.floor() {
            self.collapsed = self.collapsed.saturating_add(other.collapsed);
        }
    }

    /// Values seen.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// True when nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Values that were more than 31 powers of two smaller than the largest one, and so lost their
    /// precision.
    pub fn collapsed(&self) -> u64 {
        self.collapsed
    }

    /// The value that `percent` of all values do not exceed (the one of rank ⌈percent × count /
    /// 100⌉, at least 1), within 1 %; nothing when nothing was seen. More than 100 counts as 100.
    pub fn percentile(&self, percent: u32) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        let rank = (u128::from(self.count) * u128::from(percent.min(100))).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.buckets() {
            seen += u128::from(count);
            if seen >= rank.max(1) {
                return Some(Duration::from_nanos(middle_of(index)));
            }
        }
        // Only when counts have saturated.
        Some(Duration::from_nanos(middle_of(self.end() - 1)))
    }

    /// The layout, the number of collapsed values, then of each bucket in use the distance from
    /// the one before (from 0 for the first) and the count; numbers are varints.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![LAYOUT];
        put_varint(&mut out, self.collapsed);
        let mut last = 0;
        for (index, count) in self.buckets() {
            put_varint(&mut out, (index - last) as u64);
            put_varint(&mut out, count);
            last = index;
        }
        out
    }

    /// Reads what [`Sketch::encode`] wrote.
    ///
    /// # Errors
    /// [`SketchError`] for anything else; what it says allocates nothing beyond the bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut bytes = match bytes.split_first() {
            Some((&LAYOUT, rest)) => rest,
            Some((&other, _)) => return Err(SketchError::Layout(other)),
            None => return Err(SketchError::Number),
        };
        let collapsed = take_varint(&mut bytes)?;
        let mut buckets = Vec::new();
        let mut index = 0usize;
        while !bytes.is_empty() {
            let step = take_varint(&mut bytes)?;
            let count = take_varint(&mut bytes)?;
            let repeats = step == 0 && !buckets.is_empty();
            index = usize::try_from(step)
                .ok()
                .and_then(|step| index.checked_add(step))
                .filter(|index| *index < INDEX_END)
                .ok_or(SketchError::Bucket)?;
            if count == 0 || repeats || buckets.len() == BUCKETS_MAX {
                return Err(SketchError::Bucket);
            }
            buckets.push((index, count));
        }
        let mut sketch = Sketch::new();
        for (index, count) in buckets.iter().rev() {
            sketch.add(*index, *count);
        }
        // Buckets further apart than a sketch can have, or values collapsed onto no floor.
        let on_floor = match buckets.first() {
            Some((index, count)) if *index == sketch.floor() => *count,
            _ => 0,
        };
        if sketch.collapsed != 0 || collapsed > on_floor {
            return Err(SketchError::Bucket);
        }
        sketch.collapsed = collapsed;
        Ok(sketch)
    }

    /// Buckets in use with their counts, lowest first.
    fn buckets(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> + '_ {
        let used = self.counts.iter().enumerate();
        used.filter(|(_, count)| **count > 0)
            .map(|(place, count)| (self.first + place, *count))
    }

    /// The index after the last bucket.
    fn end(&self) -> usize {
        self.first + self.counts.len()
    }

    /// The lowest bucket that may be in use.
    fn floor(&self) -> usize {
        self.end().saturating_sub(BUCKETS_MAX)
    }

    fn add(&mut self, index: usize, count: u64) {
        // One comparison for both ends: below `first` the difference wraps around.
        if index.wrapping_sub(self.first) >= self.counts.len() {
            self.reach(index);
        }
        let place = index.max(self.first);
        if place != index {
            self.collapsed = self.collapsed.saturating_add(count);
        }
        let bucket = &mut self.counts[place - self.first];
        *bucket = bucket.saturating_add(count);
        self.count = self.count.saturating_add(count);
    }

    /// Makes room for `index`, or down to the floor where that is higher.
    #[cold]
    fn reach(&mut self, index: usize) {
        let power = index / PARTS * PARTS;
        if self.counts.is_empty() {
            self.first = power;
        }
        if index >= self.end() {
            self.counts.resize(power + PARTS - self.first, 0);
            if self.first < self.floor() {
                self.collapse();
            }
        } else if index < self.first {
            let first = power.max(self.floor());
            let missing = core::iter::repeat_n(0, self.first - first);
            self.counts.splice(0..0, missing);
            self.first = first;
        }
    }

    /// Moves what is below the floor into it.
    fn collapse(&mut self) {
        let floor = self.floor();
        let below = self.counts.drain(..floor - self.first);
        // What was collapsed before is in the lowest bucket, hence among these.
        self.collapsed = below.fold(0, u64::saturating_add);
        self.first = floor;
        self.counts[0] = self.counts[0].saturating_add(self.collapsed);
    }
}

/// The bucket of a value: values below 64 have one each.
fn index_of(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    let shift = bits.saturating_sub(PART_BITS + 1);
    shift as usize * PARTS + (value >> shift) as usize
}

/// The middle of a bucket.
fn middle_of(index: usize) -> u64 {
    let shift = (index / PARTS).saturating_sub(1);
    let low = ((index - shift * PARTS) as u64) << shift;
    low + ((1u64 << shift) >> 1)
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> Result<u64, SketchError> {
    let mut number = 0u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(SketchError::Number)?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if (part << shift) >> shift != part {
            return Err(SketchError::Number);
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(SketchError::Number)
}

impl From<Sketch> for Bytes {
    fn from(sketch: Sketch) -> Bytes {
        sketch.encode().into()
    }
}

impl TryFrom<Bytes> for Sketch {
    type Error = SketchError;

    fn try_from(bytes: Bytes) -> Result<Self, SketchError> {
        Sketch::decode(&bytes)
    }
}

impl fmt::Debug for Sketch {
    /// Three percentiles, not thousands of counts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch")
            .field("count", &self.count)
            .field("p50", &self.percentile(50))
            .field("p95", &self.percentile(95))
            .field("p99", &self.percentile(99))
            .field("collapsed", &self.collapsed)
            .finish()
    }
}

#[cfg(test)]
mod tests;
