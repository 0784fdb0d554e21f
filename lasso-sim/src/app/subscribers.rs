//! Subscribers, each with its reading pace.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lasso_core::plane::Update;
use lasso_core::time::Instant;

use super::saw::Got;
use super::{Ask, Output, Reads, Saw, Subscribe};

#[derive(Debug)]
struct Subscriber {
    name: String,
    topic: Arc<str>,
    reads: Reads,
    stands: bool,
    /// A read is under way.
    reading: bool,
    /// Read, and not yet looked at.
    backlog: VecDeque<Update>,
    /// When the next update is read, if there is a pace.
    next: Instant,
}

/// All of one application.
#[derive(Debug, Default)]
pub(super) struct Subscribers {
    all: BTreeMap<u32, Subscriber>,
    next: u32,
}

impl Subscribers {
    pub(super) fn subscribe(&mut self, what: &Subscribe, out: &mut VecDeque<Output>) {
        for _ in 0..what.count {
            let sub = self.next;
            self.next += 1;
            let subscriber = Subscriber {
                name: what.name.clone(),
                topic: Arc::clone(&what.topic),
                reads: what.reads,
                stands: false,
                reading: false,
                backlog: VecDeque::new(),
                next: Instant::ZERO,
            };
            out.push_back(Output::Saw(Saw::Subscribed {
                sub,
                name: what.name.clone(),
                topic: Arc::clone(&what.topic),
                queue: what.queue,
                at_once: what.reads == Reads::AtOnce,
            }));
            out.push_back(Output::Ask(Ask::Subscribe {
                sub,
                topic: Arc::clone(&what.topic),
                queue: what.queue,
            }));
            self.all.insert(sub, subscriber);
        }
    }

    pub(super) fn unsubscribe(
        &mut self,
        topic: &str,
        name: Option<&str>,
        out: &mut VecDeque<Output>,
    ) {
        self.all.retain(|sub, subscriber| {
            let ends = subscriber.is(topic, name);
            if ends {
                out.push_back(Output::Ask(Ask::Unsubscribe { sub: *sub }));
                out.push_back(Output::Saw(Saw::Unsubscribed { sub: *sub }));
            }
            !ends
        });
    }

    pub(super) fn is_subscribed(&self, topic: &str, name: Option<&str>) -> bool {
        self.all
            .values()
            .any(|subscriber| subscriber.is(topic, name))
    }

    pub(super) fn on_subscribed(
        &mut self,
        sub: u32,
        error: Option<String>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(subscriber) = self.all.get_mut(&sub) else {
            return;
        };
        if let Some(error) = error {
            self.all.remove(&sub);
            out.push_back(Output::Saw(Saw::NotSubscribed { sub, error }));
            return;
        }
        subscriber.stands = true;
        subscriber.read_on(sub, out);
    }

    pub(super) fn on_updates(
        &mut self,
        now: Instant,
        sub: u32,
        updates: Vec<Update>,
        out: &mut VecDeque<Output>,
    ) {
        // A subscriber that ended meanwhile reads nothing any more.
        let Some(subscriber) = self.all.get_mut(&sub) else {
            return;
        };
        subscriber.reading = false;
        match subscriber.reads {
            Reads::Paced(_) => {
                subscriber.next = subscriber.next.max(now);
                subscriber.backlog.extend(updates);
            }
            Reads::AtOnce | Reads::Never => {
                updates
                    .iter()
                    .for_each(|update| out.push_back(seen(sub, update)));
                subscriber.read_on(sub, out);
            }
        }
    }

    /// Evaluates everything that is due.
    pub(super) fn due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        for (sub, subscriber) in &mut self.all {
            let Reads::Paced(rate) = subscriber.reads else {
                continue;
            };
            while subscriber.next <= now
                && let Some(update) = subscriber.backlog.pop_front()
            {
                out.push_back(seen(*sub, &update));
                subscriber.next = subscriber.next.max(now) + rate.time_for(1);
            }
            if subscriber.backlog.is_empty() && subscriber.next <= now {
                subscriber.read_on(*sub, out);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waits = |subscriber: &&Subscriber| {
            let paced = matches!(subscriber.reads, Reads::Paced(_));
            paced && subscriber.stands && !subscriber.reading
        };
        self.all
            .values()
            .filter(waits)
            .map(|subscriber| subscriber.next)
            .min()
    }
}

impl Subscriber {
    fn is(&self, topic: &str, name: Option<&str>) -> bool {
        &*self.topic == topic && name.is_none_or(|name| self.name == name)
    }

    fn read_on(&mut self, sub: u32, out: &mut VecDeque<Output>) {
        if self.stands && !self.reading && self.reads != Reads::Never {
            self.reading = true;
            out.push_back(Output::Ask(Ask::Read { sub }));
        }
    }
}

fn seen(sub: u32, update: &Update) -> Output {
    Output::Saw(match update {
        Update::Message(message) => Saw::Got {
            sub,
            got: Got::new(message),
        },
        Update::Missed(count) => Saw::Missed { sub, count: *count },
    })
}
