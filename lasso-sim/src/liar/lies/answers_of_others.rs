//! A liar that answers calls which the node has made to others.

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "answers_of_others",
    summary: "answers and refuses calls that the node has made to others",
    weight: 3,
    make: || Box::new(AnswersOfOthers),
};

/// Nodes number their calls from 1; the liar guesses numbers up to this one.
const GUESSED: u64 = 2_000;
/// The number of calls that it answers each time, around the newest guess.
const AT_ONCE: u64 = 100;

#[derive(Debug)]
struct AnswersOfOthers;

impl Lie for AnswersOfOthers {
    fn linked(&mut self, says: &mut Says<'_>) {
        (0..GUESSED).for_each(|call| says.answer(call, b"a lie"));
    }

    fn tick(&mut self, says: &mut Says<'_>) {
        for call in 0..AT_ONCE {
            says.answer(call, b"a lie");
            says.refuse(call + AT_ONCE);
        }
    }
}
