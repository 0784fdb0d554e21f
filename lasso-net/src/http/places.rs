//! Places for HTTP connections: who gets one, and who gives way.
//!
//! 1. Never more connections than there are places, and reserved ones.
//! 2. A connection with a request under way keeps its place; one that has been idle for a moment gives way
//!    to a newcomer, first one of the newcomer's own address, where that has its share, else one of the
//!    address with the most. A moment, since a request may be on its way.
//! 3. A newcomer that finds no place gets a reserved one, in which only probes are answered. There the
//!    oldest of the address with the most gives way, so that a probe never waits behind clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::serve::Limits;

/// What HTTP clients were denied in this process, on all of its listeners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counters {
    /// Idle connections closed, as another one needed the place.
    pub gave_way: u64,
    /// Requests refused with 503, as every place was taken.
    pub refused: u64,
    /// Connections that the system could not accept: it was out of file descriptors, most likely.
    pub not_accepted: u64,
}

static GAVE_WAY: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static NOT_ACCEPTED: AtomicU64 = AtomicU64::new(0);

/// What HTTP clients were denied in this process so far.
pub fn counters() -> Counters {
    Counters {
        gave_way: GAVE_WAY.load(Ordering::Relaxed),
        refused: REFUSED.load(Ordering::Relaxed),
        not_accepted: NOT_ACCEPTED.load(Ordering::Relaxed),
    }
}

pub(super) fn count_not_accepted() {
    NOT_ACCEPTED.fetch_add(1, Ordering::Relaxed);
}

/// The places of one listener.
pub(super) struct Places {
    state: Mutex<State>,
    /// No request is under way any more.
    quiet: Notify,
}

struct State {
    connections: usize,
    per_address: usize,
    reserved: usize,
    /// Grows with each connection and each rest, so that the smallest is the oldest.
    stamp: u64,
    held: BTreeMap<u64, Held>,
    /// Connections, reserved ones apart, by address.
    ordinary: BTreeMap<IpAddr, usize>,
    /// Connections in reserved places.
    in_reserve: BTreeMap<IpAddr, usize>,
    /// Requests under way.
    under_way: usize,
    is_draining: bool,
}

struct Held {
    address: IpAddr,
    is_reserved: bool,
    doing: Doing,
    /// Ends its task; `None` until that is started.
    abort: Option<AbortHandle>,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// Nothing since this stamp, which was given at this time.
    Idle(u64, Instant),
    /// A request is answered.
    Working,
    /// The answer is complete, and the system has not taken all of it.
    Flushing,
    /// Its answer may take as long as it likes.
    Endless,
}

/// The place of one connection, free again when this is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    id: u64,
    is_reserved: bool,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        let connections = limits.connections.max(1);
        Arc::new(Places {
            state: Mutex::new(State {
                connections,
                per_address: limits.connections_per_address.clamp(1, connections),
                reserved: limits.reserved.max(1),
                stamp: 0,
                held: BTreeMap::new(),
                ordinary: BTreeMap::new(),
                in_reserve: BTreeMap::new(),
                under_way: 0,
                is_draining: false,
            }),
            quiet: Notify::new(),
        })
    }

    /// A place for a connection from `address`, and whether another one has given way for it.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> (Place, bool) {
        let address = network_of(address);
        let mut state = self.state.lock();
        let (is_reserved, gave_way) = state.make_room(address);
        state.stamp += 1;
        let id = state.stamp;
        let held = Held {
            address,
            is_reserved,
            doing: Doing::Idle(id, Instant::now()),
            abort: None,
        };
        state.held.insert(id, held);
        *state.counts(is_reserved).entry(address).or_default() += 1;
        let places = Arc::clone(self);
        let place = Place {
            places,
            id,
            is_reserved,
        };
        (place, gave_way)
    }

    /// Ends the connection at `id` by this where it has to give way.
    pub(super) fn started(&self, id: u64, abort: AbortHandle) {
        if let Some(held) = self.state.lock().held.get_mut(&id) {
            held.abort = Some(abort);
        }
    }

    /// Closes the oldest idle connection; false when there is none.
    pub(super) fn give_up_one(&self) -> bool {
        let mut state = self.state.lock();
        let oldest = state.oldest_idle(|_| true);
        oldest.is_some_and(|id| state.give_way(id))
    }

    /// From now on every answer ends its connection.
    pub(super) fn drain(&self) {
        self.state.lock().is_draining = true;
    }

    /// Waits until no request is under way.
    pub(super) async fn quiet(&self) {
        loop {
            let quiet = self.quiet.notified();
            if self.state.lock().under_way == 0 {
                return;
            }
            quiet.await;
        }
    }

    /// Changes what a connection does. One that has given way does nothing any more.
    fn now(&self, id: u64, next: impl FnOnce(Doing, u64) -> Doing) {
        let mut state = self.state.lock();
        let stamp = state.stamp + 1;
        let Some(held) = state.held.get_mut(&id) else {
            return;
        };
        let before = core::mem::replace(&mut held.doing, Doing::Working);
        let after = next(before, stamp);
        held.doing = after;
        state.stamp = stamp;
        state.count(before, after);
        if state.under_way == 0 {
            self.quiet.notify_waiters();
        }
    }
}

impl State {
    fn counts(&mut self, is_reserved: bool) -> &mut BTreeMap<IpAddr, usize> {
        if is_reserved {
            &mut self.in_reserve
        } else {
            &mut self.ordinary
        }
    }

    /// Makes room for one more from `address`: whether it is a reserved place, and whether another
    /// connection has given way.
    fn make_room(&mut self, address: IpAddr) -> (bool, bool) {
        let of_address = self.ordinary.get(&address).copied().unwrap_or(0);
        let total: usize = self.held.len() - self.in_reserve.values().sum::<usize>();
        let ordinary = |held: &Held| !held.is_reserved;
        if of_address >= self.per_address {
            let oldest = self.oldest_idle(|held| ordinary(held) && held.address == address);
            if let Some(id) = oldest {
                return (false, self.give_way(id));
            }
        } else if total < self.connections {
            return (false, false);
        } else {
            let most = those_with_most(&self.ordinary);
            let oldest = self
                .oldest_idle(|held| ordinary(held) && most.contains(&held.address))
                .or_else(|| self.oldest_idle(ordinary));
            if let Some(id) = oldest {
                return (false, self.give_way(id));
            }
        }
        if self.in_reserve.values().sum::<usize>() < self.reserved {
            return (true, false);
        }
        let most = those_with_most(&self.in_reserve);
        let of_most = || {
            let reserved = self.held.iter().filter(|(_, held)| held.is_reserved);
            reserved.filter(|(_, held)| most.contains(&held.address))
        };
        // A probe that is being answered gives way only to others where all are.
        let rests = |held: &Held| !matches!(held.doing, Doing::Working | Doing::Flushing);
        let oldest = of_most().find(|(_, held)| rests(held));
        let oldest = oldest.or_else(|| of_most().next()).map(|(id, _)| *id);
        (true, oldest.is_some_and(|id| self.give_way(id)))
    }

    fn oldest_idle(&self, may: impl Fn(&Held) -> bool) -> Option<u64> {
        let now = Instant::now();
        let idle = self.held.iter().filter_map(|(id, held)| match held.doing {
            Doing::Idle(since, at) if now - at >= MOMENT && may(held) => Some((since, *id)),
            _ => None,
        });
        idle.min().map(|(_, id)| id)
    }

    /// Ends a connection; its place is free at once.
    fn give_way(&mut self, id: u64) -> bool {
        let abort = self.free(id).and_then(|held| held.abort);
        if let Some(abort) = &abort {
            abort.abort();
            GAVE_WAY.fetch_add(1, Ordering::Relaxed);
        }
        abort.is_some()
    }

    fn free(&mut self, id: u64) -> Option<Held> {
        let held = self.held.remove(&id)?;
        self.count(held.doing, Doing::Endless);
        let counts = self.counts(held.is_reserved);
        if let Some(count) = counts.get_mut(&held.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&held.address);
            }
        }
        Some(held)
    }

    fn count(&mut self, before: Doing, after: Doing) {
        let is_under_way = |doing| matches!(doing, Doing::Working | Doing::Flushing);
        self.under_way += usize::from(is_under_way(after));
        self.under_way -= usize::from(is_under_way(before));
    }
}

impl Place {
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Only probes are answered here.
    pub(super) fn is_reserved(&self) -> bool {
        self.is_reserved
    }

    /// Whether its next answer is to be the last.
    pub(super) fn is_to_close(&self) -> bool {
        self.is_reserved || self.places.state.lock().is_draining
    }

    /// A request has come.
    pub(super) fn works(&self) {
        self.places.now(self.id, |_, _| Doing::Working);
    }

    /// A request was refused, as there is no place.
    pub(super) fn refuses(&self) {
        REFUSED.fetch_add(1, Ordering::Relaxed);
    }

    /// The answer may take as long as it likes.
    pub(super) fn is_endless(&self) {
        self.places.now(self.id, |_, _| Doing::Endless);
    }

    /// The answer is complete.
    pub(super) fn has_answered(&self) {
        self.places.now(self.id, |doing, _| match doing {
            Doing::Working => Doing::Flushing,
            other => other,
        });
    }

    /// The system has taken everything.
    pub(super) fn flushed(&self) {
        self.places.now(self.id, |doing, stamp| match doing {
            Doing::Flushing => Doing::Idle(stamp, Instant::now()),
            other => other,
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.places.state.lock();
        state.free(self.id);
        if state.under_way == 0 {
            self.places.quiet.notify_waiters();
        }
    }
}

/// The addresses with the most connections: several, where they have as many.
fn those_with_most(counts: &BTreeMap<IpAddr, usize>) -> BTreeSet<IpAddr> {
    let most = counts.values().max();
    let those = counts.iter().filter(|(_, count)| Some(*count) == most);
    those.map(|(address, _)| *address).collect()
}

/// What one client can have many of counts as one address: the first half of an IPv6 address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

/// For a request to arrive on a connection that stands: a round trip within a region and more.
const MOMENT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, per_address: usize, reserved: usize) -> Arc<Places> {
        Places::new(&Limits {
            connections,
            connections_per_address: per_address,
            reserved,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    /// A place with a task that never ends.
    async fn take(places: &Arc<Places>, address: &str) -> Arc<Place> {
        let (place, _) = places.take(ip(address));
        let task = tokio::spawn(std::future::pending::<()>());
        places.started(place.id(), task.abort_handle());
        Arc::new(place)
    }

    fn is_held(places: &Places, place: &Place) -> bool {
        places.state.lock().held.contains_key(&place.id)
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_idle_connection_of_the_greedy_address_gives_way() {
        let places = places(4, 3, 2);
        let other = take(&places, "10.0.0.9").await;
        let mut greedy = Vec::new();
        for _ in 0..3 {
            greedy.push(take(&places, "10.0.0.1").await);
        }
        greedy[0].works();
        tokio::time::advance(MOMENT).await;
        greedy.push(take(&places, "10.0.0.1").await);
        let held: Vec<bool> = greedy.iter().map(|one| is_held(&places, one)).collect();
        assert_eq!(held, [true, false, true, true]);
        // All places are taken: one of those with the most goes, though another is older.
        let young = take(&places, "10.0.0.3").await;
        assert!(is_held(&places, &other) && !young.is_reserved());
        assert!(!is_held(&places, &greedy[2]));
        // Those that have just come are not closed for others, unless they are in reserved places.
        other.works();
        let third = take(&places, "10.0.0.3").await;
        assert!(third.is_reserved() && is_held(&places, &young));
    }

    #[tokio::test]
    async fn where_all_work_newcomers_get_reserved_places_and_the_greedy_address_gives_way() {
        let places = places(2, 2, 3);
        let working = [
            take(&places, "10.0.0.1").await,
            take(&places, "10.0.0.1").await,
        ];
        working.iter().for_each(|one| one.works());
        let probe = take(&places, "10.0.0.9").await;
        let mut greedy = Vec::new();
        for _ in 0..20 {
            greedy.push(take(&places, "10.0.0.1").await);
        }
        assert!(probe.is_reserved() && is_held(&places, &probe));
        let held = greedy.iter().filter(|one| is_held(&places, one)).count();
        assert_eq!(held, 2);
        assert!(working.iter().all(|one| is_held(&places, one)));
        assert_eq!(places.state.lock().under_way, 2);
    }

    #[tokio::test]
    async fn it_is_quiet_once_every_answer_was_taken_and_endless_ones_do_not_count() {
        let places = places(4, 4, 1);
        let (one, other) = (take(&places, "10.0.0.1").await, take(&places, "::1").await);
        one.works();
        other.works();
        other.is_endless();
        one.has_answered();
        assert_eq!(places.state.lock().under_way, 1);
        one.flushed();
        places.quiet().await;
        one.works();
        drop(one);
        places.quiet().await;
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_of_ipv4() {
        assert_eq!(network_of(ip("2001:db8::1:2:3:4")), ip("2001:db8::"));
        assert_eq!(network_of(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
    }
}
