//! Is a provider worth asking, and for whom?
//!
//! What a client asks can make any provider fail: a body that one refuses, a question that takes it too
//! long. So each client has a circuit of its own with the provider, which its own failures open for it
//! alone. The circuit of everybody opens by the same failures, in which each client has a share: at most
//! half of those that it takes, rounded up. The proxy's own look at the newest block is one more witness, which no
//! client can influence.
//!
//! 1. The failures of one witness alone never open the circuit of everybody, and never keep it open.
//! 2. What the witness's own circuit does not let through is let through to nobody else's cost: all others
//!    see the circuit of everybody.
//! 3. One witness that is asked to wait waits; all wait once two were asked to.
//! 4. At most [`WITNESSES_MAX`] witnesses are remembered of each provider, and those that were not are counted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lasso::Segment;
use lasso::events::CircuitState;

use super::breaker::{Breaker, BreakerSettings, Change, Pass};

/// For whom a provider works or fails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Witness {
    /// The proxy itself.
    Proxy,
    /// Who runs the cluster.
    Operator,
    /// An account of the profile.
    Account(Segment),
    /// Somebody without a key, at this address or in this IPv6 network of 64 bits.
    Address(IpAddr),
    /// Somebody without a key, who knows from where.
    Nobody,
}

impl Witness {
    /// Somebody without a key, from an address.
    pub(crate) fn at(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Witness::Nobody,
            Some(IpAddr::V6(address)) => {
                // One household has them all.
                let network = u128::from(address) >> 64 << 64;
                Witness::Address(IpAddr::V6(network.into()))
            }
            Some(address) => Witness::Address(address),
        }
    }
}

/// What the proxy's own question came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// The provider answers.
    Answered,
    /// No answer came: of this category.
    Failed(&'static str),
    /// Something came that says neither, as that it does not know the method.
    Unclear,
}

/// Whom a failure counts against, beside the provider for this witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// Everybody else may be led elsewhere by it, too.
    Everybody,
    /// The request may be what fails: it is this witness's affair.
    OnlyIt,
}

/// A request was let through; it is to be handed back with the outcome.
#[derive(Debug)]
pub(crate) struct Permit {
    witness: Witness,
    everybodys: Pass,
    own: Pass,
}

/// The machine. See the module's text.
#[derive(Debug)]
pub(crate) struct Judge {
    settings: BreakerSettings,
    everybodys: Breaker,
    /// Failures in a row that count, by whose they are; while it is half open, those of its tests.
    held: BTreeMap<Witness, u32>,
    /// Witnesses for whom something has failed.
    own: BTreeMap<Witness, Own>,
    limited_until: Option<Instant>,
    /// Whose test came to nothing, and until when somebody else is to test it.
    yields: Option<(Witness, Instant)>,
    probe: Probe,
    forgotten: u64,
}

/// One witness's view.
#[derive(Debug)]
struct Own {
    breaker: Breaker,
    limited_until: Option<Instant>,
    used: Instant,
}

impl Judge {
    /// A provider of which nothing is known.
    pub(crate) fn new(now: Instant, settings: BreakerSettings) -> Self {
        Judge {
            everybodys: Breaker::new(now, settings.clone()),
            held: BTreeMap::new(),
            own: BTreeMap::new(),
            limited_until: None,
            yields: None,
            probe: Probe::Unclear,
            forgotten: 0,
            settings,
        }
    }

    /// The circuit of everybody.
    pub(crate) fn state(&self) -> CircuitState {
        self.everybodys.state()
    }

    /// Failures in a row that count for everybody.
    pub(crate) fn failures(&self) -> u32 {
        self.everybodys.failures()
    }

    /// Witnesses that were forgotten, or not heard, for want of room.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What the proxy's last own question came to.
    pub(crate) fn probed(&self) -> Probe {
        self.probe
    }

    /// True while somebody was asked to wait.
    pub(crate) fn is_limited(&self, now: Instant) -> bool {
        let is_ahead = |until: Option<Instant>| until.is_some_and(|until| now < until);
        is_ahead(self.limited_until) || self.own.values().any(|own| is_ahead(own.limited_until))
    }

    /// True when a request of this witness would be let through.
    pub(crate) fn lets_through(&self, now: Instant, witness: &Witness) -> bool {
        let own = self.own.get(witness);
        let yields = self.yields.as_ref();
        let yields = yields.is_some_and(|(who, until)| who == witness && now < *until);
        self.limited_until.is_none_or(|until| now >= until)
            && !(yields && self.state() == CircuitState::HalfOpen)
            && self.everybodys.lets_through(now)
            && own.is_none_or(|own| own.lets_through(now))
    }

    /// True when the next request of this witness would be a test.
    pub(crate) fn is_in_doubt(&self, witness: &Witness) -> bool {
        let own = self.own.get(witness);
        self.state() != CircuitState::Closed
            || own.is_some_and(|own| own.breaker.state() != CircuitState::Closed)
    }

    /// While nothing of this witness is let through: from when on something is, if time alone decides.
    pub(crate) fn opens_at(&self, now: Instant, witness: &Witness) -> Option<Instant> {
        let own = self.own.get(witness);
        let moments = [
            self.limited_until,
            self.everybodys.opens_at(),
            own.and_then(|own| own.limited_until),
            own.and_then(|own| own.breaker.opens_at()),
        ];
        moments.into_iter().flatten().filter(|at| *at > now).max()
    }

    /// A request goes through, which [`Judge::lets_through`] has allowed.
    pub(crate) fn begin(&mut self, now: Instant, witness: &Witness) -> (Permit, Option<Change>) {
        let own = match self.own.get_mut(witness) {
            Some(own) => own.breaker.begin(now).0,
            None => Pass::CLOSED,
        };
        let (everybodys, change) = self.everybodys.begin(now);
        if change.is_some() {
            self.held.clear();
            if matches!(self.probe, Probe::Failed(_)) {
                self.held.insert(Witness::Proxy, 1);
            }
        }
        let witness = witness.clone();
        let permit = Permit {
            witness,
            everybodys,
            own,
        };
        (permit, change)
    }

    /// A request was answered.
    pub(crate) fn success(&mut self, now: Instant, permit: Permit) -> Option<Change> {
        if let Some(own) = self.own.get_mut(&permit.witness) {
            own.breaker.success(permit.own);
            let is_closed = own.breaker.state() == CircuitState::Closed;
            if is_closed && own.limited_until.is_none_or(|until| now >= until) {
                self.own.remove(&permit.witness);
            }
        }
        let change = self.everybodys.success(permit.everybodys);
        if self.state() == CircuitState::Closed {
            self.held.clear();
        }
        change
    }

    /// A request failed. True beside the change when it counts for everybody.
    pub(crate) fn failure(
        &mut self,
        now: Instant,
        permit: Permit,
        reason: &'static str,
        against: Against,
    ) -> (bool, Option<Change>) {
        let Permit {
            witness,
            everybodys,
            own: pass,
        } = permit;
        let own = self.own(now, &witness);
        own.breaker.failure(now, pass, reason);
        if everybodys.is_test() && own.breaker.state() != CircuitState::Open {
            // Somebody else is to test it next.
            own.breaker.open(now, reason);
        }
        let counts = against == Against::Everybody && self.counts(&everybodys, witness);
        if counts {
            let change = self.everybodys.failure(now, everybodys, reason);
            if change.is_some() {
                self.held.clear();
            }
            return (true, change);
        }
        self.everybodys.withdraw(everybodys);
        (false, None)
    }

    /// Whether a failure of this witness counts for everybody.
    fn counts(&mut self, pass: &Pass, witness: Witness) -> bool {
        let is_closed = self.state() == CircuitState::Closed;
        if !is_closed && !pass.is_test() {
            // It began before the circuit opened.
            return false;
        }
        if !self.held.contains_key(&witness) && self.held.len() >= WITNESSES_MAX {
            self.forgotten += 1;
            return false;
        }
        let own = self.held.entry(witness).or_default();
        let has_its_share = *own >= self.settings.failures.div_ceil(2);
        if !has_its_share {
            *own += 1;
        }
        let is_alone = self.held.len() < 2;
        if !is_closed {
            return !is_alone;
        }
        let would_open = self.failures() + 1 >= self.settings.failures;
        !(has_its_share || is_alone && would_open)
    }

    /// A request has no outcome that says anything of the provider.
    pub(crate) fn withdraw(&mut self, now: Instant, permit: Permit) {
        if permit.everybodys.is_test() {
            self.yields = Some((permit.witness.clone(), now + YIELD));
        }
        if let Some(own) = self.own.get_mut(&permit.witness) {
            own.breaker.withdraw(permit.own);
        }
        self.everybodys.withdraw(permit.everybodys);
    }

    /// A request was refused as one too many, and whoever asks is to wait for so long.
    pub(crate) fn limited(&mut self, now: Instant, permit: Permit, pause: Duration) {
        let witness = permit.witness.clone();
        self.withdraw(now, permit);
        self.limit(now, witness, pause);
    }

    fn limit(&mut self, now: Instant, witness: Witness, pause: Duration) {
        let until = now + pause;
        let own = self.own(now, &witness);
        own.limited_until = own.limited_until.max(Some(until));
        let others = self.own.iter().filter(|(other, _)| **other != witness);
        let others = others.filter_map(|(_, own)| own.limited_until.filter(|until| *until > now));
        // What a second one was told as well.
        if let Some(others) = others.max() {
            self.limited_until = self.limited_until.max(Some(until.min(others)));
        }
    }

    /// The proxy has asked a question of its own.
    pub(crate) fn probe(&mut self, now: Instant, probe: Probe) -> Option<Change> {
        self.probe = probe;
        match probe {
            Probe::Unclear => None,
            Probe::Answered => {
                let held = self.held.remove(&Witness::Proxy).unwrap_or_default();
                if self.state() == CircuitState::Closed {
                    self.everybodys.forgive(held);
                }
                None
            }
            Probe::Failed(reason) if self.state() == CircuitState::Closed => {
                let change = self
                    .counts(&Pass::CLOSED, Witness::Proxy)
                    .then(|| self.everybodys.failure(now, Pass::CLOSED, reason))?;
                if change.is_some() {
                    self.held.clear();
                }
                change
            }
            Probe::Failed(_) => {
                // Beside the test of somebody else that fails, it opens the circuit again.
                self.held.insert(Witness::Proxy, 1);
                None
            }
        }
    }

    /// The proxy's own question was refused as one too many.
    pub(crate) fn probe_limited(&mut self, now: Instant, pause: Duration) {
        self.probe = Probe::Unclear;
        self.limit(now, Witness::Proxy, pause);
    }

    /// This witness's view, with room made for it.
    fn own(&mut self, now: Instant, witness: &Witness) -> &mut Own {
        if !self.own.contains_key(witness) && self.own.len() >= WITNESSES_MAX {
            let oldest = self.own.iter().min_by_key(|(_, own)| own.used);
            if let Some(oldest) = oldest.map(|(witness, _)| witness.clone()) {
                self.own.remove(&oldest);
                self.forgotten += 1;
            }
        }
        let settings = &self.settings;
        let own = self.own.entry(witness.clone()).or_insert_with(|| Own {
            breaker: Breaker::new(now, settings.clone()),
            limited_until: None,
            used: now,
        });
        own.used = now;
        own
    }
}

impl Own {
    fn lets_through(&self, now: Instant) -> bool {
        self.limited_until.is_none_or(|until| now >= until) && self.breaker.lets_through(now)
    }
}

/// Witnesses that are remembered of one provider, some 200 bytes each. More could fail at once, and those
/// that are forgotten ask the provider sooner than they should.
const WITNESSES_MAX: usize = 1_024;

/// For somebody else to test a circuit after a test that came to nothing.
const YIELD: Duration = Duration::from_secs(1);

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
