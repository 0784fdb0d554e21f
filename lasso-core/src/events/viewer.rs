//! Who may see what, and what one viewer has coming.
//!
//! A [`Pass`] is what the server knows of somebody who asks: an operator of a profile, or one account
//! within it. It never comes from the one who asks. A [`Scope`] is what is asked for: what a profile's
//! topics carry, which is without accounts, or what one account's topic carries.
//!
//! 1. An account sees its own scope and no other; an operator sees every scope of its profile, and
//!    nobody sees another profile.
//! 2. What a viewer is given is looked at once more, whatever let it in.
//!
//! ```
//! use lasso_core::events::topics::Segment;
//! use lasso_core::events::{Pass, Scope};
//!
//! let id = |text| Segment::new(text).unwrap();
//! let acme = Pass::account(id("premium"), id("acme"));
//! assert!(acme.may_see(&id("premium"), &Scope::Account(id("acme"))));
//! assert!(!acme.may_see(&id("premium"), &Scope::Account(id("other"))));
//! assert!(!acme.may_see(&id("premium"), &Scope::Profile));
//! assert!(Pass::operator(id("premium")).may_see(&id("premium"), &Scope::Profile));
//! ```

use core::time::Duration;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StreamEvent;
use super::rate::{TokenBucket, Waiting};
use super::topics::Segment;
use crate::time::Instant;

/// One viewer, for as long as the stream's process lives; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ViewerId(pub u64);

/// What is looked at, within one profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What the profile's topics carry: events of all accounts, without their accounts.
    Profile,
    /// What one account's topic carries.
    Account(Segment),
}

impl Scope {
    /// True when an event with this account belongs here.
    pub fn holds(&self, account: Option<&Segment>) -> bool {
        match self {
            Scope::Profile => account.is_none(),
            Scope::Account(own) => account == Some(own),
        }
    }
}

/// What the server knows of whoever asks. See the module's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pass {
    profile: Segment,
    /// `None`: an operator.
    account: Option<Segment>,
}

impl Pass {
    /// Somebody who runs the profile.
    pub fn operator(profile: Segment) -> Self {
        Pass {
            profile,
            account: None,
        }
    }

    /// A customer within the profile.
    pub fn account(profile: Segment, account: Segment) -> Self {
        Pass {
            profile,
            account: Some(account),
        }
    }

    /// True for somebody who runs the profile.
    pub(super) fn is_operators(&self) -> bool {
        self.account.is_none()
    }

    /// True when this scope of this profile is open to the bearer.
    pub fn may_see(&self, profile: &Segment, scope: &Scope) -> bool {
        self.profile == *profile
            && match (&self.account, scope) {
                (None, _) => true,
                (Some(own), Scope::Account(asked)) => own == asked,
                (Some(_), Scope::Profile) => false,
            }
    }
}

/// Why somebody is not let in. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// The scope is not the bearer's to see. Whose fault it is only the server knows; it says no more
    /// than this, so that nobody learns which accounts there are.
    #[error("this scope is not open to you")]
    NotYours,
    /// As many viewers as the profile may have. Try again later, or raise `events.viewers_max`.
    #[error("profile `{profile}` has {max} viewers already, which is the most it may have")]
    TooManyViewers {
        /// Which profile.
        profile: Segment,
        /// The bound.
        max: usize,
    },
    /// As many viewers as one account may have. Close some, or raise `events.account_viewers_max`.
    #[error("account `{account}` has {max} viewers already, which is the most it may have")]
    TooManyOfAccount {
        /// Which account.
        account: Segment,
        /// The bound.
        max: usize,
    },
    /// As many scopes as the profile may have. Try again later, or raise `events.scopes_max`.
    #[error(
        "{max} scopes of profile `{profile}` are looked at already, which is the most there may be"
    )]
    TooManyScopes {
        /// Which profile.
        profile: Segment,
        /// The bound.
        max: usize,
    },
    /// As many profiles as a node may show. Try again later, or raise `events.profiles_max`.
    #[error("{0} profiles are looked at already, which is the most there may be")]
    TooManyProfiles(usize),
    /// As many chains as a profile's viewers may name. Name fewer, or raise `events.chains_max`.
    #[error("viewers of profile `{profile}` name more than {max} chains, which is the most")]
    TooManyChains {
        /// Which profile.
        profile: Segment,
        /// The bound.
        max: usize,
    },
}

/// What one viewer has coming.
#[derive(Debug)]
pub(super) struct Viewer<E> {
    scope: Scope,
    bucket: TokenBucket,
    events: Waiting<Arc<E>>,
    /// There is something to read, if only a heartbeat.
    readable: bool,
    /// Up to which change the viewer knows the states.
    pub(super) states_seen: u64,
    /// Up to which change it knows the figures.
    pub(super) figures_seen: u64,
    /// Up to which change it knows the coverage.
    pub(super) coverage_seen: u64,
}

impl<E: StreamEvent> Viewer<E> {
    pub(super) fn new(now: Instant, scope: Scope, rate: u32, queue: usize) -> Self {
        Viewer {
            scope,
            bucket: TokenBucket::new(now, rate),
            events: Waiting::new(queue),
            readable: false,
            states_seen: 0,
            figures_seen: 0,
            coverage_seen: 0,
        }
    }

    /// A batch or a heartbeat went: the newest of its events, as many as the rate lets through, wait
    /// for the viewer from now on. True when nothing did before.
    pub(super) fn offer(&mut self, now: Instant, events: &[Arc<E>]) -> bool {
        let granted = self.bucket.take(now, events.len());
        let held_back = events.len() - granted;
        self.events.lose(held_back as u64);
        self.events.extend(events[held_back..].iter().cloned());
        !core::mem::replace(&mut self.readable, true)
    }

    /// So many did not come; told when something is read next.
    pub(super) fn miss(&mut self, missed: u64) {
        self.events.lose(missed);
    }

    /// Takes what waits: how many were lost, and the events; `None` when nothing has come since.
    pub(super) fn take(&mut self) -> Option<(u64, Vec<Arc<E>>)> {
        core::mem::take(&mut self.readable).then(|| self.events.drain())
    }

    /// Events that wait.
    pub(super) fn waiting(&self) -> usize {
        self.events.len()
    }

    /// True when this event may be given to the viewer: the last look, at delivery.
    pub(super) fn may_get(&self, event: &E) -> bool {
        self.scope.holds(event.account())
    }

    /// The same for a state, which belongs to all scopes of the profile where it has no account.
    pub(super) fn may_know(&self, state: &E) -> bool {
        state.account().is_none() || self.may_get(state)
    }
}

/// How a viewer tells silence from death: it shows itself as stale when nothing came for 30 s.
///
/// ```
/// use core::time::Duration;
/// use lasso_core::events::Staleness;
/// use lasso_core::time::Instant;
///
/// let at = |seconds| Instant::ZERO + Duration::from_secs(seconds);
/// let mut staleness = Staleness::new(at(0));
/// staleness.heard(at(2));
/// assert_eq!(staleness.deadline(), at(32));
/// assert!(!staleness.is_stale(at(31)) && staleness.is_stale(at(32)));
/// staleness.heard(at(40));
/// assert!(!staleness.is_stale(at(40)));
/// ```
#[derive(Debug, Clone)]
pub struct Staleness {
    patience: Duration,
    heard_at: Instant,
}

impl Staleness {
    /// A viewer that has just been let in, with a patience of 30 s.
    pub fn new(now: Instant) -> Self {
        Staleness::with_patience(now, PATIENCE)
    }

    /// The same with another patience, which must be longer than the stream's heartbeat.
    pub fn with_patience(now: Instant, patience: Duration) -> Self {
        Staleness {
            patience,
            heard_at: now,
        }
    }

    /// Something came: a batch or a heartbeat.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = self.heard_at.max(now);
    }

    /// True when nothing came for too long.
    pub fn is_stale(&self, now: Instant) -> bool {
        now >= self.deadline()
    }

    /// When the viewer is stale if nothing comes until then.
    pub fn deadline(&self) -> Instant {
        self.heard_at + self.patience
    }
}

/// Fifteen heartbeats: a network that was gone for T/2 of a link's patience is not the stream's death.
const PATIENCE: Duration = Duration::from_secs(30);
