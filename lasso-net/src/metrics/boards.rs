//! Where the answers of each query hang, for readers who know its type.

use core::any::{Any, TypeId};
use core::hash::BuildHasher;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::AtomicU64;
use std::panic::catch_unwind;
use std::sync::{Arc, OnceLock};

use foldhash::fast::FixedState;
use lasso_core::metrics::queries::Query;
use lasso_core::metrics::service::{QUERIES_MAX, Subject, Value};
use lasso_core::metrics::store::{Ages, Change, Reads};

use super::cache::Cache;
use crate::log::Lines;

/// The answers of one query.
pub(super) struct Board<Q: Query> {
    pub(super) cache: Cache<Q::Key, Q::Answer>,
}

/// A board whose query does not matter.
trait Follower: Send + Sync {
    fn follow(&self, change: Change<Subject, Value>);
    fn reads(&self) -> Reads;
    fn keys(&self) -> usize;
}

impl<Q: Query> Follower for Board<Q> {
    fn follow(&self, change: Change<Subject, Value>) {
        let typed = match change {
            Change::Publish(subject, entry) => {
                let (key, entry) = (subject.key::<Q>().cloned(), entry.typed().map(Arc::new));
                key.zip(entry)
                    .map(|(key, entry)| Change::Publish(key, entry))
            }
            Change::Withdraw(subject) => subject.key::<Q>().cloned().map(Change::Withdraw),
        };
        self.cache.apply(typed);
    }

    fn reads(&self) -> Reads {
        self.cache.reads()
    }

    fn keys(&self) -> usize {
        self.cache.len()
    }
}

struct Hung {
    query: TypeId,
    name: &'static str,
    typed: Arc<dyn Any + Send + Sync>,
    follower: Arc<dyn Follower>,
}

/// Places for boards; half of them stay empty, so that looking for one is soon over.
const PLACES: usize = 2 * QUERIES_MAX;

/// See the module. Boards are hung up and never taken down. Readers take no lock.
pub(super) struct Boards {
    ages: Ages,
    generation: Arc<AtomicU64>,
    /// Each board is in the first place that was empty from the one of its query's hash on.
    places: [OnceLock<Hung>; PLACES],
}

impl Boards {
    pub(super) fn new(ages: Ages, generation: &Arc<AtomicU64>) -> Self {
        Boards {
            ages,
            generation: Arc::clone(generation),
            places: [const { OnceLock::new() }; PLACES],
        }
    }

    /// Hangs up an empty board for a query; nothing where there is one. No more than [`QUERIES_MAX`]
    /// may be.
    pub(super) fn add<Q: Query>(&self) {
        let board = Arc::new(Board::<Q> {
            cache: Cache::following(self.ages, &self.generation),
        });
        let hung = || Hung {
            query: TypeId::of::<Q>(),
            name: Q::NAME,
            typed: board.clone(),
            follower: board.clone(),
        };
        let is_there = self
            .places_of(TypeId::of::<Q>())
            .any(|place| place.get_or_init(hung).query == TypeId::of::<Q>());
        assert!(is_there, "more boards than there may be queries");
    }

    #[inline]
    fn places_of(&self, query: TypeId) -> impl Iterator<Item = &OnceLock<Hung>> {
        let first = FixedState::default().hash_one(query) as usize % PLACES;
        let (before, from) = self.places.split_at(first);
        from.iter().chain(before)
    }

    fn hung(&self) -> impl Iterator<Item = &Hung> {
        self.places.iter().filter_map(OnceLock::get)
    }

    /// The board of a query, if there is one.
    #[inline]
    fn find<Q: Query>(&self) -> Option<&Hung> {
        let query = TypeId::of::<Q>();
        let mut hung = self.places_of(query).map_while(OnceLock::get);
        hung.find(|hung| hung.query == query)
    }

    /// Looks at the board of a query, if there is one.
    #[inline]
    pub(super) fn look<Q: Query>(&self) -> Option<&Board<Q>> {
        self.find::<Q>()?.typed.downcast_ref()
    }

    /// The board of a query, if there is one.
    pub(super) fn of<Q: Query>(&self) -> Option<Arc<Board<Q>>> {
        self.find::<Q>()?.typed.clone().downcast().ok()
    }

    /// Shows what a store has changed, in the order it told. Returns how many changes could not be
    /// shown, as the code of a query's key panicked, which is an application's own.
    pub(super) fn follow(
        &self,
        changes: impl IntoIterator<Item = Change<Subject, Value>>,
        lines: &Lines,
    ) -> u64 {
        let mut lost = 0;
        for change in changes {
            let (Change::Publish(subject, _) | Change::Withdraw(subject)) = &change;
            let query = subject.query();
            if let Some(hung) = self.hung().find(|hung| hung.name == query) {
                let follow = AssertUnwindSafe(|| hung.follower.follow(change));
                if catch_unwind(follow).is_err() {
                    lines.say("key_panicked", query, move || {
                        tracing::error!(
                            query,
                            "a key of a query panicked; its answer is not shown"
                        );
                    });
                    lost += 1;
                }
            }
        }
        lost
    }

    /// How often what was read.
    pub(super) fn reads(&self) -> Reads {
        let mut all = Reads::default();
        for hung in self.hung() {
            let reads = hung.follower.reads();
            all.fresh += reads.fresh;
            all.stale += reads.stale;
            all.expired += reads.expired;
            all.loading += reads.loading;
        }
        all
    }

    /// Answers that hang anywhere.
    pub(super) fn keys(&self) -> usize {
        self.hung().map(|hung| hung.follower.keys()).sum()
    }
}
