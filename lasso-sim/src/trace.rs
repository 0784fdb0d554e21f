//! The trace of a run: lines of text that are the same in each run of one seed, and a digest of every input, so
//! that two runs that differ anywhere differ in their hash.

use core::fmt::Write;
use std::collections::VecDeque;

use lasso_core::time::Instant;
use sha2::{Digest as _, Sha256};

/// Lines kept for a failure's report.
const RECENT: usize = 400;

/// A cheap running digest of inputs. Not for security: it finds differences between runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Digest(0x9e37_79b9_7f4a_7c15)
    }
}

impl Digest {
    /// Mixes in a number.
    #[inline]
    pub fn word(&mut self, word: u64) {
        // The finalizer of SplitMix64 over the sum: each bit of both reaches each bit of the result.
        let mut z = self.0.rotate_left(5) ^ word;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.0 = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    }

    /// Mixes in bytes and their number.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.word(bytes.len() as u64);
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut buffer = [0; 8];
            buffer.copy_from_slice(word);
            self.word(u64::from_le_bytes(buffer));
        }
        let mut rest = [0; 8];
        rest[..words.remainder().len()].copy_from_slice(words.remainder());
        self.word(u64::from_le_bytes(rest));
    }

    /// The digest so far.
    pub fn value(self) -> u64 {
        self.0
    }
}

/// The lines of a run, hashed as they are written.
#[derive(Debug)]
pub struct Trace {
    hasher: Sha256,
    /// The latest lines, each with its number.
    recent: VecDeque<(u64, String)>,
    /// The latest of the minor, frequent lines. They are kept separately, so that they do not push out the
    /// others.
    faint: VecDeque<(u64, String)>,
    all: Option<String>,
    lines: u64,
    digest: Digest,
    quiet: bool,
}

impl Trace {
    /// An empty trace; `keep`: keeps all lines, not only the latest.
    pub fn new(keep: bool) -> Self {
        Trace {
            hasher: Sha256::new(),
            recent: VecDeque::new(),
            faint: VecDeque::new(),
            all: keep.then(String::new),
            lines: 0,
            digest: Digest::default(),
            quiet: false,
        }
    }

    /// Leaves lines out, for measurements: only the digest continues.
    pub fn set_quiet(&mut self, quiet: bool) {
        self.quiet = quiet;
    }

    /// Writes a line. `who` is the file's name of a node, or a part of the run.
    pub fn line(&mut self, now: Instant, who: &str, what: core::fmt::Arguments<'_>) {
        self.write(now, who, what, false);
    }

    /// Writes a line that a failure's report shows only if few other lines precede the failure.
    pub fn faint_line(&mut self, now: Instant, who: &str, what: core::fmt::Arguments<'_>) {
        self.write(now, who, what, true);
    }

    fn write(&mut self, now: Instant, who: &str, what: core::fmt::Arguments<'_>, faint: bool) {
        if self.quiet {
            return;
        }
        let kept = if faint {
            &mut self.faint
        } else {
            &mut self.recent
        };
        let mut line = if kept.len() == RECENT {
            kept.pop_front()
        } else {
            None
        }
        .map_or_else(
            || String::with_capacity(80),
            |(_, mut old)| {
                old.clear();
                old
            },
        );
        let micros = now.as_nanos() / 1_000;
        let _ = write!(
            line,
            "{}.{:06} {who} {what}",
            micros / 1_000_000,
            micros % 1_000_000
        );
        self.hasher.update(line.as_bytes());
        self.hasher.update(b"\n");
        if let Some(all) = &mut self.all {
            all.push_str(&line);
            all.push('\n');
        }
        kept.push_back((self.lines, line));
        self.lines += 1;
    }

    /// The digest, to mix inputs in.
    #[inline]
    pub fn digest(&mut self) -> &mut Digest {
        &mut self.digest
    }

    /// Writes the digest so far into a line.
    pub fn checkpoint(&mut self, now: Instant) {
        let value = self.digest.value();
        self.faint_line(now, "run", format_args!("inputs {value:016x}"));
    }

    /// The latest lines, at most `count`; includes faint lines only as far as there is room.
    pub fn tail(&self, count: usize) -> Vec<String> {
        let latest = |lines: &VecDeque<(u64, String)>, count: usize| {
            let skip = lines.len().saturating_sub(count);
            lines.iter().skip(skip).cloned().collect::<Vec<_>>()
        };
        let mut lines = latest(&self.recent, count);
        lines.extend(latest(&self.faint, count - lines.len()));
        lines.sort_unstable_by_key(|(number, _)| *number);
        lines.into_iter().map(|(_, line)| line).collect()
    }

    /// All lines, if they were kept.
    pub fn text(&self) -> Option<&str> {
        self.all.as_deref()
    }

    /// The number of lines so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// SHA-256 of all lines so far, in hexadecimal.
    pub fn hash(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.hasher.clone().finalize() {
            let _ = write!(text, "{byte:02x}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bit_of_one_input_changes_the_hash() {
        let hash = |byte: u8| {
            let mut trace = Trace::new(false);
            trace.digest().bytes(&[1, 2, 3, byte]);
            trace.checkpoint(Instant::ZERO);
            trace.hash()
        };
        assert_eq!(hash(4), hash(4));
        assert_ne!(hash(4), hash(5));
    }

    #[test]
    fn lines_that_say_little_push_out_none_that_say_more() {
        let mut trace = Trace::new(false);
        trace.line(Instant::ZERO, "a", format_args!("publishes"));
        for attempt in 0..2 * RECENT {
            trace.faint_line(Instant::ZERO, "a", format_args!("dials {attempt}"));
        }
        trace.line(Instant::ZERO, "a", format_args!("calls"));
        let said = ["0.000000 a publishes", "0.000000 a calls"];
        assert_eq!(trace.tail(2), said);
        let last = format!("0.000000 a dials {}", 2 * RECENT - 1);
        assert_eq!(trace.tail(3), [said[0], &last, said[1]]);
    }

    #[test]
    fn what_was_kept_is_what_was_hashed() {
        let mut trace = Trace::new(true);
        trace.line(
            Instant::from_nanos(1_500_000_000),
            "a",
            format_args!("starts"),
        );
        assert_eq!(trace.text(), Some("1.500000 a starts\n"));
        assert_eq!(trace.tail(5), ["1.500000 a starts"]);
    }
}
