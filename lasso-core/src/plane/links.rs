//! The lanes of the links that stand, as the data plane fills them.

use bytes::Bytes;
use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Effects, Outlet, Wake};
use crate::link::{LaneCount, LaneFull, LaneId, Pushed, SharedLanes};
use crate::node::ConnId;

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Links {
    lanes: HashMap<ConnId, SharedLanes, FxBuildHasher>,
    /// Whom the frames since [`Links::take_woken`] have woken.
    woken: Vec<Wake>,
}

impl Links {
    pub(super) fn insert(&mut self, conn: ConnId, lanes: SharedLanes) {
        self.lanes.insert(conn, lanes);
    }

    pub(super) fn remove(&mut self, conn: ConnId) -> bool {
        self.lanes.remove(&conn).is_some()
    }

    pub(super) fn contains(&self, conn: ConnId) -> bool {
        self.lanes.contains_key(&conn)
    }

    pub(super) fn count(&self, conn: ConnId, id: LaneId) -> Option<LaneCount> {
        self.lanes.get(&conn).map(|lanes| lanes.lock().count(id))
    }

    /// Whether no lane holds a message, a call or an answer.
    pub(super) fn are_drained(&self) -> bool {
        self.lanes.values().all(|lanes| {
            let lanes = lanes.lock();
            lanes.held(LaneId::Calls) == 0 && lanes.held(LaneId::Data) == 0
        })
    }

    /// The links whose data lanes hold messages.
    pub(super) fn with_messages(&self) -> Vec<ConnId> {
        let holds = |lanes: &SharedLanes| lanes.lock().held(LaneId::Data) > 0;
        let holding = self.lanes.iter().filter(|(_, lanes)| holds(lanes));
        holding.map(|(&conn, _)| conn).collect()
    }

    /// Appends a frame, given in two parts, to a lane: bytes that it holds now, or `None` when it is
    /// full or the link is gone.
    pub(super) fn push(
        &mut self,
        conn: ConnId,
        id: LaneId,
        head: &[u8],
        body: &Bytes,
    ) -> Option<usize> {
        let mut lanes = self.lanes.get(&conn)?.lock();
        match lanes.push(id, head, body).ok()? {
            Pushed::Queued => {}
            Pushed::Woke(Some(waker)) => self.woken.push(Wake::Task(waker)),
            Pushed::Woke(None) => self.woken.push(Wake::Link(conn)),
        }
        Some(lanes.held(id))
    }

    /// Appends the frame that `next` gives to the control lane, unless that holds more than `busy` or
    /// might not take it: false, and nobody was asked for a frame. Others fill this lane too, so its
    /// lock is held from the look to the push: what was asked for is never refused.
    pub(super) fn push_news(
        &mut self,
        conn: ConnId,
        busy: usize,
        next: impl FnOnce() -> Option<Vec<u8>>,
    ) -> bool {
        let Some(lanes) = self.lanes.get(&conn) else {
            return true;
        };
        let mut lanes = lanes.lock();
        if lanes.held(LaneId::Control) > busy || !lanes.has_room(LaneId::Control, NEWS_BYTES_MAX) {
            return false;
        }
        let Some(frame) = next() else {
            return true;
        };
        debug_assert!(frame.len() <= NEWS_BYTES_MAX);
        match lanes.push(LaneId::Control, &frame, &Bytes::new()) {
            Ok(Pushed::Woke(Some(waker))) => self.woken.push(Wake::Task(waker)),
            Ok(Pushed::Woke(None)) => self.woken.push(Wake::Link(conn)),
            Ok(Pushed::Queued) | Err(LaneFull) => {}
        }
        true
    }

    pub(super) fn take_woken(&mut self, fx: &mut Effects) {
        fx.wakes.append(&mut self.woken);
    }
}

impl Outlet for Links {
    fn calls(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, fx: &mut Effects) -> bool {
        let taken = self.push(conn, LaneId::Calls, head, payload).is_some();
        self.take_woken(fx);
        taken
    }

    /// Half of the lane is the node's: a peer that calls faster than it reads fills the other half
    /// with refusals, and its link lives.
    fn control(&mut self, conn: ConnId, frame: &[u8], fx: &mut Effects) -> bool {
        let has_room = self.lanes.get(&conn).is_some_and(|lanes| {
            let lanes = lanes.lock();
            lanes.held(LaneId::Control) + frame.len() <= lanes.bound(LaneId::Control) / 2
        });
        if !has_room {
            return false;
        }
        let taken = self
            .push(conn, LaneId::Control, frame, &Bytes::new())
            .is_some();
        self.take_woken(fx);
        taken
    }
}

/// A frame of news is never longer.
const NEWS_BYTES_MAX: usize = 16 << 10;
#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LinkSettings;
    use crate::link::Lanes;
    use crate::time::Instant;

    #[test]
    fn refusals_leave_half_of_the_control_lane_to_the_node() {
        let settings = LinkSettings {
            control_lane_bytes: 1000,
            ..LinkSettings::default()
        };
        let (conn, mut links, mut fx) = (ConnId::In(1), Links::default(), Effects::default());
        let lanes = Lanes::new(Instant::ZERO, &settings);
        links.insert(conn, SharedLanes::new(parking_lot::Mutex::new(lanes)));
        let refusals = (0..100).filter(|_| links.control(conn, &[0; 100], &mut fx));
        assert_eq!(refusals.count(), 5);
        let of_the_node = links.push(conn, LaneId::Control, &[0; 500], &Bytes::new());
        assert_eq!(of_the_node, Some(1000));
    }
}
