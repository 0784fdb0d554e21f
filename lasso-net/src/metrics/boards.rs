//! Where the answers of each query hang, for readers who know its type.

use core::any::{Any, TypeId};
use core::sync::atomic::AtomicU64;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::FixedState;
use lasso_core::metrics::queries::Query;
use lasso_core::metrics::service::{Subject, Value};
use lasso_core::metrics::store::{Ages, Change, Reads};

use super::cache::Cache;

/// The answers of one query.
pub(super) struct Board<Q: Query> {
    pub(super) cache: Cache<Q::Key, Value>,
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
            Change::Publish(subject, entry) => subject
                .key::<Q>()
                .map(|key| Change::Publish(key.clone(), entry)),
            Change::Withdraw(subject) => {
                let key = subject.key::<Q>();
                key.map(|key| Change::Withdraw(key.clone()))
            }
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

#[derive(Clone)]
struct Hung {
    name: &'static str,
    typed: Arc<dyn Any + Send + Sync>,
    follower: Arc<dyn Follower>,
}

/// All boards of a node. Nothing depends on their order.
type Map = HashMap<TypeId, Hung, FixedState>;

/// See the module. Readers take no lock.
pub(super) struct Boards {
    ages: Ages,
    generation: Arc<AtomicU64>,
    map: ArcSwap<Map>,
}

impl Boards {
    pub(super) fn new(ages: Ages, generation: &Arc<AtomicU64>) -> Self {
        Boards {
            ages,
            generation: Arc::clone(generation),
            map: ArcSwap::default(),
        }
    }

    /// Hangs up an empty board for a query; nothing where there is one.
    pub(super) fn add<Q: Query>(&self) {
        let board = Arc::new(Board::<Q> {
            cache: Cache::following(self.ages, &self.generation),
        });
        self.map.rcu(|map| {
            let mut map = Map::clone(map);
            let hung = || Hung {
                name: Q::NAME,
                typed: board.clone(),
                follower: board.clone(),
            };
            map.entry(TypeId::of::<Q>()).or_insert_with(hung);
            map
        });
    }

    /// Looks at the board of a query, if there is one.
    pub(super) fn look<Q: Query, R>(&self, look: impl FnOnce(&Board<Q>) -> R) -> Option<R> {
        let map = self.map.load();
        let hung = map.get(&TypeId::of::<Q>())?;
        hung.typed.downcast_ref().map(look)
    }

    /// The board of a query, if there is one.
    pub(super) fn of<Q: Query>(&self) -> Option<Arc<Board<Q>>> {
        let hung = self.map.load().get(&TypeId::of::<Q>())?.typed.clone();
        hung.downcast().ok()
    }

    /// Shows what a store has changed, in the order it told.
    pub(super) fn follow(&self, changes: impl IntoIterator<Item = Change<Subject, Value>>) {
        let map = self.map.load();
        for change in changes {
            let (Change::Publish(subject, _) | Change::Withdraw(subject)) = &change;
            if let Some(hung) = map.values().find(|hung| hung.name == subject.query()) {
                hung.follower.follow(change);
            }
        }
    }

    /// How often what was read.
    pub(super) fn reads(&self) -> Reads {
        let mut all = Reads::default();
        for hung in self.map.load().values() {
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
        let map = self.map.load();
        map.values().map(|hung| hung.follower.keys()).sum()
    }
}
