//! When it is time to add everything up, if that may cost more than what was done.

/// How much was done since everything was added up.
///
/// Adding up costs as much as there is. It is done when as much else was done since, or little is there:
/// so it never doubles the cost of what is done, and is exact where it costs nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    done: usize,
}

impl Tally {
    /// So much more was done, and there is so much to add up. True when it is to be done now.
    pub(super) fn is_due(&mut self, done: usize, size: usize) -> bool {
        self.done += done;
        let is_due = self.done + LITTLE >= size;
        if is_due {
            self.done = 0;
        }
        is_due
    }
}

/// What is added up each time, as it takes less than a wish.
const LITTLE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adding_up_what_there_is_costs_no_more_than_what_was_done() {
        for size in [LITTLE, LITTLE + 1, 1_000, 100_000] {
            let (mut tally, mut done, mut added_up) = (Tally::default(), 0, 0);
            for turn in 0..10_000 {
                done += 1 + turn % 3;
                if tally.is_due(1 + turn % 3, size) {
                    added_up += size;
                }
            }
            assert!(added_up <= done + 10_000 * LITTLE, "{size}");
            assert!(added_up > 0 || done + LITTLE < size, "{size}");
        }
    }

    #[test]
    fn where_little_is_there_it_is_added_up_each_time() {
        let mut tally = Tally::default();
        assert!((0..100).all(|_| tally.is_due(1, LITTLE)));
    }
}
