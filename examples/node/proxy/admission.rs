//! How many requests, or viewers, there may be at a time, and whose.
//!
//! 1. There are never more than the bounds say: in all, of one caller, and of all that are not the
//!    operator together.
//! 2. Who is not let in has changed nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use lasso::Segment;
use parking_lot::Mutex;

use super::keys::Bearer;

/// Who asks, of which profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// The profile that is asked.
    pub(crate) profile: Segment,
    /// Whose key came with the request.
    pub(crate) bearer: Bearer,
}

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Places {
    /// In all.
    pub(crate) all: usize,
    /// Of one caller that is not the operator.
    pub(crate) caller: usize,
    /// Of all, those that are kept for the operator.
    pub(crate) kept: usize,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many as there may be.
    Node,
    /// The caller has as many as it may.
    Caller,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Admission {
    places: Places,
    taken: usize,
    /// Of these, those that the operator has not taken.
    taken_by_others: usize,
    /// Those with at least one.
    callers: BTreeMap<Caller, usize>,
}

impl Admission {
    /// Nobody is in.
    pub(crate) fn new(places: Places) -> Self {
        Admission {
            places,
            taken: 0,
            taken_by_others: 0,
            callers: BTreeMap::new(),
        }
    }

    /// Gives that many places, or none.
    pub(crate) fn enter(&mut self, caller: &Caller, number: usize) -> Result<(), Full> {
        if number == 0 {
            // The rest of a batch of one: it is in already.
            return Ok(());
        }
        let Places {
            all,
            caller: each,
            kept,
        } = self.places;
        let own = self.callers.get(caller).copied().unwrap_or_default();
        let is_operator = caller.bearer == Bearer::Operator;
        if !is_operator && own + number > each {
            return Err(Full::Caller);
        }
        let others = if is_operator { 0 } else { number };
        if self.taken + number > all || self.taken_by_others + others > all - kept {
            return Err(Full::Node);
        }
        self.taken += number;
        self.taken_by_others += others;
        self.callers.insert(caller.clone(), own + number);
        Ok(())
    }

    /// So many have been given back.
    pub(crate) fn leave(&mut self, caller: &Caller, number: usize) {
        if number == 0 {
            return;
        }
        self.taken -= number;
        if caller.bearer != Bearer::Operator {
            self.taken_by_others -= number;
        }
        let own = self.callers.get_mut(caller);
        let own = own.expect("who leaves was let in");
        *own -= number;
        if *own == 0 {
            self.callers.remove(caller);
        }
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken
    }
}

/// Where places are given out. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Mutex<Admission>>);

/// Places that were given, until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    gate: Gate,
    caller: Caller,
    number: usize,
}

impl Gate {
    /// One through which nobody has gone.
    pub(crate) fn new(places: Places) -> Self {
        Gate(Arc::new(Mutex::new(Admission::new(places))))
    }

    /// Gives that many places, or none.
    pub(crate) fn enter(&self, caller: &Caller, number: usize) -> Result<Permit, Full> {
        self.0.lock().enter(caller, number)?;
        Ok(Permit {
            gate: self.clone(),
            caller: caller.clone(),
            number,
        })
    }

    /// How many are taken.
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().taken()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.0.lock().leave(&self.caller, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(bearer: Bearer) -> Caller {
        Caller {
            profile: Segment::new("p").unwrap(),
            bearer,
        }
    }

    fn account(name: &str) -> Caller {
        caller(Bearer::Account(Segment::new(name).unwrap()))
    }

    fn admission(all: usize, caller: usize, kept: usize) -> Admission {
        Admission::new(Places { all, caller, kept })
    }

    #[test]
    fn one_caller_cannot_take_every_place_and_all_together_not_more_than_there_are() {
        let mut admission = admission(10, 6, 0);
        let (acme, other, nobody) = (account("acme"), account("other"), caller(Bearer::Nobody));
        assert_eq!(admission.enter(&acme, 6), Ok(()));
        assert_eq!(admission.enter(&acme, 1), Err(Full::Caller));
        assert_eq!(admission.enter(&other, 5), Err(Full::Node));
        assert_eq!(admission.enter(&other, 4), Ok(()));
        assert_eq!(admission.enter(&nobody, 1), Err(Full::Node));
        admission.leave(&acme, 6);
        assert_eq!(admission.enter(&nobody, 6), Ok(()));
        assert_eq!(admission.taken(), 10);
        admission.leave(&nobody, 6);
        admission.leave(&other, 4);
        assert_eq!(admission.taken(), 0);
        assert!(admission.callers.is_empty());
    }

    #[test]
    fn the_operator_is_no_caller_without_a_key_and_finds_what_is_kept_for_it() {
        let mut admission = admission(8, 6, 2);
        let (operator, nobody) = (caller(Bearer::Operator), caller(Bearer::Nobody));
        assert_eq!(admission.enter(&nobody, 6), Ok(()));
        assert_eq!(admission.enter(&account("acme"), 1), Err(Full::Node));
        assert_eq!(admission.enter(&operator, 2), Ok(()));
        assert_eq!(admission.enter(&operator, 1), Err(Full::Node));
        admission.leave(&nobody, 6);
        // Nobody is kept from what the operator may take, but by those who were there before.
        assert_eq!(admission.enter(&operator, 6), Ok(()));
        assert_eq!(admission.enter(&nobody, 1), Err(Full::Node));
        admission.leave(&operator, 8);
        assert_eq!((admission.taken(), admission.taken_by_others), (0, 0));
    }

    #[test]
    fn nobody_is_let_in_and_out_again_without_a_trace() {
        let mut admission = admission(10, 6, 0);
        let acme = account("acme");
        assert_eq!(admission.enter(&acme, 1), Ok(()));
        assert_eq!(admission.enter(&acme, 0), Ok(()));
        admission.leave(&acme, 1);
        admission.leave(&acme, 0);
        assert_eq!((admission.taken(), admission.callers.len()), (0, 0));
    }
}
