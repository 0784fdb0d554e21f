//! What a node knows of another one as far as topics are concerned.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::slab::Place;
use super::streams::Streams;
use crate::name::{Identity, Incarnation, Label, NodeName};
use crate::node::ConnId;

/// A node that is linked, or was and left something to remember.
pub(super) struct Peer {
    pub(super) name: NodeName,
    pub(super) incarnation: Incarnation,
    /// Its link.
    pub(super) conn: Option<ConnId>,
    pub(super) region: Label,
    pub(super) roles: BTreeSet<Label>,
    /// Topics that it is interested in.
    pub(super) present: BTreeSet<Place>,
    /// Topics that it was interested in, whose receivers it still stands among.
    pub(super) absent: BTreeSet<Place>,
    /// How many of the topics that it wants count towards its share.
    pub(super) paid: usize,
    /// What comes from it.
    pub(super) streams: Streams,
    /// What it is to be told.
    pub(super) news: News,
}

/// What a peer is to be told on the control lane: what holds, not what happened, so that it cannot
/// grow beyond what there is.
#[derive(Default)]
pub(super) struct News {
    /// Topics that it knows of and that are still wanted.
    pub(super) told: BTreeSet<Place>,
    /// Topics that are wanted from it, to be said.
    pub(super) wanted: BTreeSet<Place>,
    /// Topics that it knows of and that are no longer wanted, to be said before `wanted`.
    pub(super) unwanted: BTreeSet<Arc<str>>,
    /// Topics that it has asked for, to be answered.
    pub(super) answers: BTreeSet<Place>,
    /// Some that it has asked for were refused.
    pub(super) refused: bool,
    /// Topics of which messages were dropped for it.
    pub(super) dropped: BTreeSet<Place>,
    /// Whoever drives the hub was told that there is something, or is about to be.
    pub(super) noisy: bool,
}

impl Peer {
    pub(super) fn new(identity: &Identity) -> Self {
        Peer {
            name: identity.name.clone(),
            incarnation: identity.incarnation,
            conn: None,
            region: Label::unknown(),
            roles: BTreeSet::new(),
            present: BTreeSet::new(),
            absent: BTreeSet::new(),
            paid: 0,
            streams: Streams::default(),
            news: News::default(),
        }
    }

    /// Neither linked nor worth to be remembered.
    pub(super) fn is_nobody(&self) -> bool {
        self.conn.is_none()
            && self.present.is_empty()
            && self.absent.is_empty()
            && self.streams.is_empty()
    }

    /// Puts its link among those that have news, once.
    pub(super) fn ring(&mut self, noisy: &mut Vec<ConnId>) {
        if let Some(conn) = self.conn
            && !self.news.noisy
        {
            self.news.noisy = true;
            noisy.push(conn);
        }
    }
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty()
            && self.unwanted.is_empty()
            && self.answers.is_empty()
            && !self.refused
            && self.dropped.is_empty()
    }
}
