//! The topics that this node publishes on or is subscribed to, with their numbers.
//!
//! 1. A stream's number is given to one topic, once.
//! 2. The numbers of a topic never go back, even when it was forgotten in between.
//! 3. A topic is forgotten only to make room for another, and only while nobody is interested in it.
//!    Topics without receivers go first, since no node can have missed a message of them; in each group, the
//!    one that was used longest ago.

use std::sync::Arc;

use hashbrown::HashMap;

use super::slab::{Place, Slab};
use super::{Row, Source};
use crate::node::ConnId;
use crate::plane::seeded::Seeded;

/// One topic.
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// Stands for the name in messages.
    pub(super) stream: u32,
    /// The newest number of the row of all.
    pub(super) last_all: u64,
    /// The newest number of this node's own row.
    pub(super) last_own: u64,
    /// Where the rows of new receivers begin: no row that ever was went further.
    pub(super) rows_begin: u64,
    /// This node as the source; `None` until somebody here gets a message of it.
    pub(super) own: Option<Arc<Source>>,
    /// Local subscribers, in the order in which they came.
    pub(super) subscribers: Vec<Place>,
    /// Peers that are or were interested, by their place.
    pub(super) receivers: Vec<Receiver>,
    /// How many of the receivers are not absent.
    pub(super) present: usize,
    /// The peer whose share of the topics it counts towards: the first of those that want it, where nobody
    /// here did then.
    pub(super) payer: Option<Place>,
    /// Where it stands among the idle topics; `None` while it is not idle.
    idle: Option<Idle>,
}

/// The place of an idle topic in its list.
#[derive(Clone, Copy)]
struct Idle {
    /// [`FREE`] or [`OWING`].
    list: usize,
    /// Its neighbours, older and newer.
    neighbours: [Option<Place>; 2],
}

/// How far a peer's interest in a topic has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interest {
    /// It took it back, or its link is lost. Its row goes on, so that it can be told what it missed.
    Absent,
    /// It has asked; the answer is not yet on its way.
    Asked,
    /// It gets the messages.
    Active,
}

/// A peer, as the receiver of a topic's messages.
pub(super) struct Receiver {
    pub(super) peer: Place,
    pub(super) conn: ConnId,
    pub(super) interest: Interest,
    /// The newest number of its own row.
    pub(super) last: u64,
    /// By row, the newest messages that were dropped for it without a gap between them, of which it
    /// was not told.
    pub(super) dropped: [Option<(u64, u64)>; 2],
}

impl Topic {
    pub(super) fn receiver(&mut self, peer: Place) -> Option<&mut Receiver> {
        let at = self.position(peer).ok()?;
        Some(&mut self.receivers[at])
    }

    /// The peer, where messages go to it.
    pub(super) fn active(&self, peer: Place) -> Option<&Receiver> {
        let receiver = &self.receivers[self.position(peer).ok()?];
        (receiver.interest == Interest::Active).then_some(receiver)
    }

    pub(super) fn position(&self, peer: Place) -> Result<usize, usize> {
        self.receivers
            .binary_search_by_key(&peer, |known| known.peer)
    }

    /// Takes a peer out, whose next row begins behind this one.
    pub(super) fn drop_receiver(&mut self, peer: Place) {
        if let Ok(at) = self.position(peer) {
            let receiver = self.receivers.remove(at);
            self.present -= usize::from(receiver.interest != Interest::Absent);
            self.rows_begin = self.rows_begin.max(receiver.last);
        }
    }

    /// The highest number of any of its rows.
    fn highest(&self) -> u64 {
        let rows = self.receivers.iter().map(|receiver| receiver.last);
        let own = [self.last_all, self.last_own, self.rows_begin];
        rows.chain(own).max().unwrap_or(0)
    }

    /// Somebody wants it, here or elsewhere.
    pub(super) fn is_wanted(&self) -> bool {
        !self.subscribers.is_empty() || self.present > 0
    }

    /// The list of idle topics that it belongs to; `None` while somebody wants it.
    fn idle_list(&self) -> Option<usize> {
        if self.is_wanted() {
            return None;
        }
        Some(if self.receivers.is_empty() {
            FREE
        } else {
            OWING
        })
    }
}

impl Receiver {
    /// It has asked and has not taken that back.
    pub(super) fn is_present(&self) -> bool {
        self.interest != Interest::Absent
    }

    /// Notes that a message was dropped for it; true when nothing was noted before.
    pub(super) fn note_dropped(&mut self, row: Row, number: u64) -> bool {
        let quiet = self.dropped == [None, None];
        let noted = &mut self.dropped[row as usize];
        match noted {
            Some((_, to)) if *to + 1 == number => *to = number,
            // What lies before a message that was sent shows by its number.
            _ => *noted = Some((number, number)),
        }
        quiet
    }
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Topics {
    slab: Slab<Topic>,
    /// By names that peers choose. Never walked through.
    places: HashMap<Arc<str>, Place, Seeded>,
    /// Ends of the two lists of idle topics, oldest and newest: those that no peer gets, and those that
    /// peers got which may ask again.
    idle: [[Option<Place>; 2]; 2],
    /// How many are in the lists.
    idle_count: usize,
    /// The one that was published on last: a program mostly publishes on one topic many times.
    found: Option<Place>,
    streams_given: u32,
    /// Where the rows of new topics begin: no row of one that was forgotten went further.
    rows_begin: u64,
}

impl Topics {
    /// Keys the table of names, which is still empty.
    pub(super) fn seed(&mut self, seed: Seeded) {
        debug_assert!(self.places.is_empty());
        self.places = HashMap::with_hasher(seed);
    }

    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.places.get(name).copied()
    }

    /// The same, and quicker for the name that was asked for last.
    pub(super) fn find_again(&mut self, name: &str) -> Option<Place> {
        if let Some(found) = self.found
            && *self.slab[found].name == *name
        {
            return Some(found);
        }
        self.found = self.find(name);
        self.found
    }

    pub(super) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Topics that somebody wants, here or elsewhere: none of them can be forgotten.
    pub(super) fn wanted(&self) -> usize {
        self.slab.len() - self.idle_count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Place, &Topic)> {
        self.slab.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Place, &mut Topic)> {
        self.slab.iter_mut()
    }

    /// A new topic, idle; `None` when no stream is left for it.
    pub(super) fn create(&mut self, name: &str) -> Option<Place> {
        let stream = self.streams_given.checked_add(1)?;
        self.streams_given = stream;
        let name: Arc<str> = name.into();
        let place = self.slab.insert(Topic {
            name: name.clone(),
            stream,
            last_all: self.rows_begin,
            last_own: self.rows_begin,
            rows_begin: self.rows_begin,
            own: None,
            subscribers: Vec::new(),
            receivers: Vec::new(),
            present: 0,
            payer: None,
            idle: None,
        });
        self.places.insert(name, place);
        self.settle(place);
        Some(place)
    }

    /// Takes out the idle topic that was used longest ago; topics without receivers go first.
    pub(super) fn evict(&mut self) -> Option<(Place, Topic)> {
        let place = self.idle[FREE][OLDER].or(self.idle[OWING][OLDER])?;
        self.unlink(place);
        let topic = self.slab.remove(place);
        self.places.remove(&topic.name);
        self.found = self.found.filter(|found| *found != place);
        self.rows_begin = self.rows_begin.max(topic.highest());
        Some((place, topic))
    }

    /// To be called when somebody became interested in it, or nobody is any more, or a receiver was
    /// dropped.
    pub(super) fn settle(&mut self, place: Place) {
        let topic = &self.slab[place];
        let (list, is_in) = (topic.idle_list(), topic.idle.map(|idle| idle.list));
        if list != is_in {
            self.unlink(place);
            self.link(place);
        }
    }

    /// It is used now.
    pub(super) fn touch(&mut self, place: Place) {
        if let Some(idle) = self.slab[place].idle
            && self.idle[idle.list][NEWER] != Some(place)
        {
            self.unlink(place);
            self.link(place);
        }
    }

    /// Puts it behind the newest topic of its list, if it is idle.
    fn link(&mut self, place: Place) {
        let Some(list) = self.slab[place].idle_list() else {
            return;
        };
        let newest = self.idle[list][NEWER].replace(place);
        let neighbours = [newest, None];
        self.idle_count += 1;
        self.slab[place].idle = Some(Idle { list, neighbours });
        match newest {
            Some(newest) => self.neighbours(newest)[NEWER] = Some(place),
            None => self.idle[list][OLDER] = Some(place),
        }
    }

    fn unlink(&mut self, place: Place) {
        let Some(Idle { list, neighbours }) = self.slab[place].idle.take() else {
            return;
        };
        self.idle_count -= 1;
        let [older, newer] = neighbours;
        match older {
            Some(older) => self.neighbours(older)[NEWER] = newer,
            None => self.idle[list][OLDER] = newer,
        }
        match newer {
            Some(newer) => self.neighbours(newer)[OLDER] = older,
            None => self.idle[list][NEWER] = older,
        }
    }

    fn neighbours(&mut self, place: Place) -> &mut [Option<Place>; 2] {
        let idle = self.slab[place].idle.as_mut();
        &mut idle
            .expect("a neighbour of an idle topic is idle")
            .neighbours
    }

    pub(super) fn assert_invariants(&self) {
        let mut idle = 0;
        for (list, [oldest, newest]) in self.idle.into_iter().enumerate() {
            let (mut at, mut before) = (oldest, None);
            while let Some(place) = at {
                let topic = &self.slab[place];
                let [older, newer] = topic.idle.expect("in the list").neighbours;
                assert_eq!(older, before, "the lists of idle topics hold together");
                assert_eq!(topic.idle_list(), Some(list), "{}", topic.name);
                (idle, at, before) = (idle + 1, newer, at);
            }
            assert_eq!(before, newest);
        }
        assert_eq!(self.places.len(), self.slab.len());
        let mut unwanted = 0;
        for (place, topic) in self.slab.iter() {
            assert_eq!(self.find(&topic.name), Some(place));
            unwanted += usize::from(topic.idle_list().is_some());
            let present = topic.receivers.iter();
            let present = present.filter(|known| known.interest != Interest::Absent);
            assert_eq!(topic.present, present.count(), "{}", topic.name);
            assert!(topic.receivers.is_sorted_by(|one, two| one.peer < two.peer));
        }
        if let Some(found) = self.found {
            assert_eq!(self.find(&self.slab[found].name), Some(found));
        }
        assert_eq!(idle, unwanted, "every topic that nobody wants is idle");
        assert_eq!(idle, self.idle_count);
    }
}

impl core::ops::Index<Place> for Topics {
    type Output = Topic;

    fn index(&self, place: Place) -> &Topic {
        &self.slab[place]
    }
}

impl core::ops::IndexMut<Place> for Topics {
    fn index_mut(&mut self, place: Place) -> &mut Topic {
        &mut self.slab[place]
    }
}

/// The list of idle topics that no peer gets.
const FREE: usize = 0;
/// The list of idle topics that peers got and may ask for again.
const OWING: usize = 1;
const OLDER: usize = 0;
const NEWER: usize = 1;
