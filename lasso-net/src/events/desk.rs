//! Drives the machine of live events, where it keeps nobody waiting.
//!
//! What the machine does may take long: it decodes events, sorts latencies, goes through a thousand
//! viewers. So whoever wants something of it says so by a [`Wish`] and goes on, and a runner fulfils the
//! wishes in their order, aside from the tasks that serve requests: see [`Platform::aside`]. It is there
//! while there are wishes. Tasks bring what topics bring, one for each, and tell that something is due,
//! while anybody looks or has just looked.
//!
//! Three kinds of locks. The machine's is taken by the runner alone; under it the data plane's may be
//! taken, to subscribe and unsubscribe, and the front's. The front's and that of a seat are anybody's, for
//! as long as it takes to put something there or to take it away, and none is taken under them. Nobody is
//! woken under any, and no waker cloned or dropped, which may do anything.
//!
//! A runner that is dropped before it was done, as its runtime is gone or a bug of ours ended it, takes the
//! desk with it: all who wait are told, and no wish is taken from then on.
//!
//! [`Platform::aside`]: crate::seam::Platform::aside

use core::panic::AssertUnwindSafe;
use std::collections::VecDeque;
use std::panic::{catch_unwind, resume_unwind};
use std::sync::Arc;

use lasso_core::config::Settings;
use lasso_core::events::sampler::Sampler;
use lasso_core::events::{LiveCounters, ScopeError, ViewerId, event_keys};
use lasso_core::plane::{SubscriberId, Update};
use lasso_core::time::Instant;
use lasso_core::topology::Coverage;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, oneshot};

use super::EventCounters;
use super::after::After;
use super::turn::{Machine, Turn};
use super::viewer::{ViewError, Viewer, Wanted};
use crate::shared::Shared;

/// See the module's text.
pub(crate) struct Desk {
    machine: Mutex<Machine>,
    front: Mutex<Front>,
    sampler: Mutex<Sampler>,
    /// Tells the clock that something is due earlier than it thought.
    pub(super) sooner: Notify,
    /// Who wants to look and waits, at most.
    openings_max: usize,
}

/// What becomes of somebody who wants to look.
pub(super) type Opened = Result<Viewer, ViewError>;

/// What is wanted of the machine. Of each viewer, topic and clock one waits at most, and of openings as
/// many as a profile may have viewers.
pub(super) enum Wish {
    /// Somebody wants to look.
    View {
        wanted: Box<Wanted>,
        seated: oneshot::Sender<Opened>,
    },
    /// A viewer wants what comes next, as soon as it does.
    Read { viewer: ViewerId },
    /// A viewer is gone.
    Leave { viewer: ViewerId },
    /// A topic has brought these; to be given back empty.
    Updates {
        topic: Arc<str>,
        updates: Vec<Update>,
        taken: oneshot::Sender<Vec<Update>>,
    },
    /// A topic brings nothing any more.
    Drained { topic: Arc<str>, id: SubscriberId },
    /// How much of the cluster is there.
    Coverage {
        coverage: Coverage,
        told: oneshot::Sender<()>,
    },
    /// Something is due.
    Tick { done: oneshot::Sender<()> },
    /// The node has stopped: its topics bring no more than they have.
    Stopped,
    /// A bug of ours.
    #[cfg(test)]
    Panic,
}

impl Wish {
    fn is_given_up(&self) -> bool {
        matches!(self, Wish::View { seated, .. } if seated.is_closed())
    }
}

/// What anybody may look at.
#[derive(Default)]
struct Front {
    wishes: VecDeque<Wish>,
    /// Who wants to look, among the wishes.
    openings: usize,
    /// Who was turned away, as too many wanted to.
    crowded: u64,
    presence: Presence,
    /// Nobody fulfils wishes any more.
    is_over: bool,
    /// As of the runner's last turn.
    counters: LiveCounters,
    /// The same.
    deadline: Option<Instant>,
    /// There is a clock, which looks for a deadline before it ends.
    is_ticking: bool,
}

/// Whether there is a runner.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Presence {
    #[default]
    Away,
    /// One was asked for.
    Called,
    /// It looks for wishes before it ends.
    AtWork,
}

impl Desk {
    pub(crate) fn new(settings: &Settings, seed: [u8; 32]) -> Self {
        let keys = event_keys(seed);
        Desk {
            machine: Mutex::new(Machine::new(settings, keys.ids)),
            front: Mutex::default(),
            sampler: Mutex::new(Sampler::new(settings.sampling.clone(), keys.sampling)),
            sooner: Notify::new(),
            openings_max: settings.events.viewers_max,
        }
    }

    /// Chooses what is published.
    pub(super) fn sampler(&self) -> MutexGuard<'_, Sampler> {
        self.sampler.lock()
    }

    pub(super) fn counters(&self) -> EventCounters {
        let (mut live, crowded) = {
            let front = self.front.lock();
            (front.counters, front.crowded)
        };
        live.stream.crowded += crowded;
        EventCounters {
            live,
            sampler: self.sampler.lock().counters(),
        }
    }

    /// When something is due; where nothing is, the clock that asks is to end.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let mut front = self.front.lock();
        front.is_ticking = front.deadline.is_some();
        front.deadline
    }

    /// The loop of the node has ended, however it did. Where nobody looks nothing is to be done for it.
    pub(crate) fn stop(&self, shared: &Arc<Shared>) {
        let is_idle = {
            let mut front = self.front.lock();
            let is_idle = front.presence == Presence::Away && front.deadline.is_none();
            front.is_over |= is_idle;
            is_idle
        };
        if !is_idle {
            self.wish(shared, Wish::Stopped);
        }
    }

    /// Wants something of the machine, and does not wait for it.
    pub(super) fn wish(&self, shared: &Arc<Shared>, wish: Wish) {
        let (refused, calls) = {
            let mut front = self.front.lock();
            (front.take(wish), front.call())
        };
        // Whoever waits for one that is not taken is told.
        drop(refused);
        if calls {
            call(shared);
        }
    }

    /// Wants to look, unless too many do already; those who have given up are none of them.
    pub(super) fn open(
        &self,
        shared: &Arc<Shared>,
        wanted: Wanted,
    ) -> Result<oneshot::Receiver<Opened>, ViewError> {
        let profile = wanted.profile.clone();
        let (seated, opened) = oneshot::channel();
        let wanted = Box::new(wanted);
        let mut wish = Some(Wish::View { wanted, seated });
        let mut given_up = VecDeque::new();
        let (has_room, calls) = {
            let mut front = self.front.lock();
            if front.openings >= self.openings_max {
                let wishes = core::mem::take(&mut front.wishes).into_iter();
                (given_up, front.wishes) = wishes.partition(Wish::is_given_up);
                front.openings -= given_up.len();
            }
            let has_room = front.openings < self.openings_max;
            if has_room {
                wish = wish.and_then(|wish| front.take(wish));
                front.openings += usize::from(wish.is_none());
            } else {
                front.crowded += 1;
            }
            (has_room, front.call())
        };
        drop((given_up, wish));
        if calls {
            call(shared);
        }
        let (max, profile) = (self.openings_max, profile);
        has_room
            .then_some(opened)
            .ok_or(ScopeError::TooManyViewers { profile, max }.into())
    }

    /// Fulfils the first of the wishes, and then what the machine wants done for them.
    fn turn(&self, shared: &Arc<Shared>, wishes: &mut VecDeque<Wish>) {
        let mut after = After::default();
        {
            let mut machine = self.machine.lock();
            // Read under the lock: no time is older than one that was named before it.
            let mut turn = Turn {
                shared,
                now: shared.now(),
                unix_ms: shared.unix_ms(),
                machine: &mut machine,
                after: &mut after,
            };
            let mut done = 0;
            for _ in 0..AT_ONCE {
                let Some(wish) = wishes.pop_front() else {
                    break;
                };
                done += turn.fulfil(wish);
            }
            let (deadline, counters) = (machine.deadline(), machine.counters(done));
            let mut front = self.front.lock();
            front.counters = counters;
            let was = core::mem::replace(&mut front.deadline, deadline);
            if let Some(due) = deadline {
                after.sooner = was.is_none_or(|was| due < was);
                after.clock = !core::mem::replace(&mut front.is_ticking, true);
            }
        }
        after.carry_out(shared);
    }
}

impl Front {
    /// Takes a wish, or gives it back if nobody fulfils any more.
    fn take(&mut self, wish: Wish) -> Option<Wish> {
        if self.is_over {
            return Some(wish);
        }
        self.wishes.push_back(wish);
        None
    }

    /// True when somebody is to be called to fulfil wishes.
    fn call(&mut self) -> bool {
        let calls = self.presence == Presence::Away && !self.wishes.is_empty();
        if calls {
            self.presence = Presence::Called;
        }
        calls
    }
}

/// Has a runner fulfil what is wished.
fn call(shared: &Arc<Shared>) {
    let runner = || Runner {
        shared: Arc::clone(shared),
        ends: Presence::Called,
    };
    let called = runner();
    let aside = AssertUnwindSafe(|| shared.aside(move || called.run()));
    let Err(panicked) = catch_unwind(aside) else {
        return;
    };
    if shared.desk.front.lock().is_over {
        // It was done here, as it is in simulations, and is wrong.
        resume_unwind(panicked);
    }
    // The system has no thread. Where it was left this one waits for one, and finds its place taken.
    shared.lines.say("no_thread", "", || {
        tracing::warn!("no thread for live events: what viewers want is done by whoever wants it");
    });
    runner().run();
}

/// Fulfils wishes while there are any.
struct Runner {
    shared: Arc<Shared>,
    /// In whose place it is: were it dropped there, nobody else would fulfil anything.
    ends: Presence,
}

impl Runner {
    fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        {
            let mut front = shared.desk.front.lock();
            if front.presence != Presence::Called {
                // Somebody else has come in its place.
                self.ends = Presence::Away;
                return;
            }
            front.presence = Presence::AtWork;
            self.ends = Presence::AtWork;
        }
        let mut wishes = VecDeque::new();
        loop {
            if wishes.is_empty() {
                let mut front = shared.desk.front.lock();
                core::mem::swap(&mut wishes, &mut front.wishes);
                front.openings = 0;
                if wishes.is_empty() {
                    front.presence = Presence::Away;
                    self.ends = Presence::Away;
                    return;
                }
            }
            shared.desk.turn(&shared, &mut wishes);
        }
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        let desk = &self.shared.desk;
        let wishes = {
            let mut front = desk.front.lock();
            if self.ends == Presence::Away || front.presence != self.ends {
                return;
            }
            front.presence = Presence::Away;
            front.is_over = true;
            front.openings = 0;
            front.deadline = None;
            front.counters = front.counters.of_the_past();
            core::mem::take(&mut front.wishes)
        };
        if std::thread::panicking() {
            self.shared.lines.say("live_events_ended", "", || {
                tracing::error!("a bug of lasso has ended live events on this node");
            });
        }
        drop(wishes);
        let (seats, readers) = desk.machine.lock().abandon();
        drop(readers);
        for seat in seats {
            seat.end();
        }
        desk.sooner.notify_one();
    }
}

/// Wishes that are fulfilled before viewers and tasks are told what came of them.
const AT_ONCE: usize = 64;

#[cfg(test)]
mod tests;
