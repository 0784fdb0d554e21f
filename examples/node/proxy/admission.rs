//! How many requests may be under way, and whose.
//!
//! 1. There are never more than the bounds say: in all, and of one caller.
//! 2. Who is not let in has changed nothing.

use std::collections::BTreeMap;

use lasso::Segment;

/// Who asks: an account of a profile, or everybody without a key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Caller {
    /// The profile that is asked.
    pub(crate) profile: Segment,
    /// Whose key came with the request.
    pub(crate) account: Option<Segment>,
}

/// Why somebody is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The node has as many requests under way as it may.
    Node,
    /// The caller has.
    Caller,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    caller_max: usize,
    under_way: usize,
    /// Those with at least one.
    callers: BTreeMap<Caller, usize>,
}

impl Admission {
    /// Nobody is in.
    pub(crate) fn new(max: usize, caller_max: usize) -> Self {
        Admission {
            max,
            caller_max,
            under_way: 0,
            callers: BTreeMap::new(),
        }
    }

    /// Lets `requests` of them in, or none.
    pub(crate) fn enter(&mut self, caller: &Caller, requests: usize) -> Result<(), Full> {
        if requests == 0 {
            // The rest of a batch of one: it is in already.
            return Ok(());
        }
        let own = self.callers.get(caller).copied().unwrap_or_default();
        if own + requests > self.caller_max {
            return Err(Full::Caller);
        }
        if self.under_way + requests > self.max {
            return Err(Full::Node);
        }
        self.under_way += requests;
        self.callers.insert(caller.clone(), own + requests);
        Ok(())
    }

    /// So many of them have ended.
    pub(crate) fn leave(&mut self, caller: &Caller, requests: usize) {
        if requests == 0 {
            return;
        }
        self.under_way -= requests;
        let own = self.callers.get_mut(caller);
        let own = own.expect("who leaves was let in");
        *own -= requests;
        if *own == 0 {
            self.callers.remove(caller);
        }
    }

    /// Requests under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(account: Option<&str>) -> Caller {
        Caller {
            profile: Segment::new("p").unwrap(),
            account: account.map(|name| Segment::new(name).unwrap()),
        }
    }

    #[test]
    fn one_caller_cannot_take_every_place_and_all_together_not_more_than_there_are() {
        let mut admission = Admission::new(10, 6);
        let (acme, other, nobody) = (caller(Some("acme")), caller(Some("other")), caller(None));
        assert_eq!(admission.enter(&acme, 6), Ok(()));
        assert_eq!(admission.enter(&acme, 1), Err(Full::Caller));
        assert_eq!(admission.enter(&other, 5), Err(Full::Node));
        assert_eq!(admission.enter(&other, 4), Ok(()));
        assert_eq!(admission.enter(&nobody, 1), Err(Full::Node));
        admission.leave(&acme, 6);
        assert_eq!(admission.enter(&nobody, 6), Ok(()));
        assert_eq!(admission.under_way(), 10);
        admission.leave(&nobody, 6);
        admission.leave(&other, 4);
        assert_eq!(admission.under_way(), 0);
        assert!(admission.callers.is_empty());
    }

    #[test]
    fn nobody_is_let_in_and_out_again_without_a_trace() {
        let mut admission = Admission::new(10, 6);
        let acme = caller(Some("acme"));
        assert_eq!(admission.enter(&acme, 1), Ok(()));
        assert_eq!(admission.enter(&acme, 0), Ok(()));
        admission.leave(&acme, 1);
        admission.leave(&acme, 0);
        assert_eq!((admission.under_way(), admission.callers.len()), (0, 0));
    }
}
