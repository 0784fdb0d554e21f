//! How peers share what there is of something: places of handlers, bytes of questions, topics.
//!
//! One rule: a peer may take more as long as it then holds no more than was free before. Alone it gets half.
//! Of `n` peers that take all they can, each gets one part of `n + 1`, and one part stays free, so that
//! somebody who comes later always finds room. No peer has a fixed share, so what others do not use is not
//! lost. This is the dynamic threshold, with a factor of one, of A. Choudhury and E. Hahne, "Dynamic queue
//! length thresholds for shared-memory packet switches", 1998.
//!
//! What it does not do: what was taken is never taken back.

/// Why something is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// There is not as much.
    Full,
    /// There is, but not for this peer.
    OverShare,
}

/// Whether a peer that holds `held` may take `more` of the `free`.
pub(crate) fn take(held: usize, more: usize, free: usize) -> Result<(), Short> {
    if more > free {
        return Err(Short::Full);
    }
    if held + more > free {
        return Err(Short::OverShare);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of so many peers holds once all have taken what they can, one at a time.
    fn settled(peers: usize, all: usize) -> Vec<usize> {
        let mut held = vec![0; peers];
        loop {
            let before = held.clone();
            for peer in 0..peers {
                let free = all - held.iter().sum::<usize>();
                held[peer] += usize::from(take(held[peer], 1, free).is_ok());
            }
            if held == before {
                return held;
            }
        }
    }

    #[test]
    fn peers_get_equal_parts_and_one_part_stays_free() {
        for (peers, all, least, most) in [
            (1, 1_024, 512, 512),
            (2, 1_024, 341, 342),
            (20, 1_024, 48, 49),
            (7, 65_536, 8_191, 8_193),
            (1, 1, 1, 1),
            (1, 3, 2, 2),
        ] {
            let held = settled(peers, all);
            let fits = |held: &usize| (least..=most).contains(held);
            assert!(held.iter().all(fits), "{peers} of {all}: {held:?}");
        }
    }

    #[test]
    fn a_latecomer_finds_room() {
        let mut held = settled(20, 1_024);
        let free = 1_024 - held.iter().sum::<usize>();
        assert!(free >= 40, "{free}");
        held.push(0);
        assert_eq!(take(0, 20, free), Ok(()));
        assert_eq!(take(20, 20, free - 20), Err(Short::OverShare));
        assert_eq!(take(0, free + 1, free), Err(Short::Full));
    }
}
