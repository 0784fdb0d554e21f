//! The faults of the network, and how streams recover from them.

use lasso_core::node::NetError;
use lasso_core::time::Instant;

use super::line::take_packet;
use super::{Chunk, Conn, Effect, End, Fabric, Flight, Phase, Timer};
use crate::scenario::Shape;
use crate::world::{Cut, FaultId};

impl Fabric {
    /// Cuts these directions (from, to), at the same moment.
    pub fn cut(&mut self, now: Instant, paths: &[(u32, u32)], how: Cut, fault: FaultId) {
        for &(from, to) in paths {
            let index = self.link(from, to) as usize;
            self.links[index].cut = Some((how, fault));
            self.links[index].refresh();
        }
        if how == Cut::Stall {
            self.links_changed(now);
            return;
        }
        for conn in self.affected() {
            self.break_connection(now, conn, how, fault);
        }
        self.links_changed(now);
    }

    /// Holds back everything sent in these directions.
    pub fn hold(&mut self, now: Instant, paths: &[(u32, u32)], fault: FaultId) {
        for &(from, to) in paths {
            let index = self.link(from, to) as usize;
            self.links[index].held = Some(fault);
            self.links[index].refresh();
        }
        self.links_changed(now);
    }

    /// Releases everything held in these directions.
    pub fn let_go(&mut self, now: Instant, paths: &[(u32, u32)]) {
        for &(from, to) in paths {
            let index = self.link(from, to) as usize;
            self.links[index].held = None;
            self.links[index].refresh();
        }
        self.links_changed(now);
    }

    /// Ends cuts and holds of these directions.
    pub fn heal(&mut self, now: Instant, paths: &[(u32, u32)]) {
        for &(from, to) in paths {
            let index = self.link(from, to) as usize;
            self.links[index].cut = None;
            self.links[index].held = None;
            self.links[index].refresh();
        }
        self.links_changed(now);
    }

    /// Gives one direction another shape; `fault` is `None` if it belongs to no step.
    pub fn shape(&mut self, from: u32, to: u32, shape: &Shape, fault: Option<FaultId>) {
        let index = self.link(from, to) as usize;
        self.links[index].set_shape(shape.clone(), fault);
    }

    /// The machine loses power: its connections no longer exist at this side, and no peer is notified.
    pub fn power_off(&mut self, now: Instant, host: u32, fault: FaultId) {
        self.hosts[host as usize].listening.clear();
        self.hosts[host as usize].frozen = false;
        self.set_power(host, Some(fault));
        for conn in self.affected() {
            let Some(connection) = self.connection(conn) else {
                continue;
            };
            let end = if connection.hosts[0] == host {
                End::Dialler
            } else {
                End::Acceptor
            };
            if connection.phase == Phase::Established {
                self.finish(conn, end);
            } else if end == End::Dialler {
                self.release(conn);
            }
        }
        self.links_changed(now);
    }

    /// The machine is on again; it knows none of the connections from before.
    pub fn power_on(&mut self, now: Instant, host: u32) {
        self.set_power(host, None);
        self.links_changed(now);
    }

    fn set_power(&mut self, host: u32, off: Option<FaultId>) {
        self.hosts[host as usize].off = off;
        for link in &mut self.links {
            if (link.from == host || link.to == host) && link.off != off {
                link.off = off;
                link.refresh();
            }
        }
    }

    /// The processes of a host stop reading: its kernel buffers arriving bytes.
    pub fn freeze(&mut self, now: Instant, host: u32) {
        self.hosts[host as usize].frozen = true;
        for slot in &mut self.conns {
            let Some(connection) = slot.conn.as_deref_mut() else {
                continue;
            };
            for end in [End::Dialler, End::Acceptor] {
                if connection.hosts[end as usize] == host {
                    connection.streams[end.other() as usize].freeze(now);
                }
            }
        }
    }

    /// The processes of a host read again.
    pub fn thaw(&mut self, now: Instant, host: u32) {
        self.hosts[host as usize].frozen = false;
        for index in 0..self.conns.len() {
            let slot = &mut self.conns[index];
            let conn = Conn {
                index: index as u32,
                generation: slot.generation,
            };
            let Some(connection) = slot.conn.as_deref_mut() else {
                continue;
            };
            for end in [End::Dialler, End::Acceptor] {
                if connection.hosts[end as usize] != host {
                    continue;
                }
                let stream = &mut connection.streams[end.other() as usize];
                stream.thaw(now, self.links[stream.back as usize].typical());
                if stream.writer_waits {
                    self.sequence += 1;
                    let timer = Timer::Room(conn, end.other());
                    self.timers
                        .push(core::cmp::Reverse((now, self.sequence, timer)));
                }
            }
        }
    }

    /// The connections on links that have just changed.
    fn affected(&self) -> Vec<Conn> {
        let slots = self.conns.iter().enumerate();
        slots
            .filter_map(|(index, slot)| {
                let connection = slot.conn.as_deref()?;
                let streams = &connection.streams;
                let changed = streams.iter().any(|s| self.links[s.link as usize].changed);
                let conn = Conn {
                    index: index as u32,
                    generation: slot.generation,
                };
                changed.then_some(conn)
            })
            .collect()
    }

    fn break_connection(&mut self, now: Instant, conn: Conn, how: Cut, fault: FaultId) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let established = connection.phase == Phase::Established;
        if how == Cut::Drop {
            connection.forgotten |= established;
            if established {
                // Bytes sent on it are lost, even after the path is open again.
                self.touch(fault);
            }
            return;
        }
        let error = if established {
            NetError::Reset
        } else {
            NetError::Refused
        };
        let gone = connection.gone;
        for end in [End::Dialler, End::Acceptor] {
            if (established || end == End::Dialler) && !gone[end as usize] {
                self.effects.push_back(Effect::Closed {
                    conn,
                    end,
                    error,
                    at: now,
                });
                self.touch(fault);
            }
        }
        if let Some(connection) = self.connection(conn) {
            connection.forgotten = true;
        }
    }

    /// Updates the streams on links that have just changed, then clears the marks of these links.
    fn links_changed(&mut self, now: Instant) {
        for conn in self.affected() {
            let Some(connection) = self.connection(conn) else {
                continue;
            };
            if let Phase::Connecting { held } = connection.phase {
                let link = connection.streams[0].link as usize;
                if held && self.links[link].open {
                    self.release_syn(now, conn);
                }
                continue;
            }
            for end in [End::Dialler, End::Acceptor] {
                self.stream_changed(now, conn, end);
            }
        }
        for link in &mut self.links {
            link.changed = false;
        }
    }

    fn stream_changed(&mut self, now: Instant, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let stream = &connection.streams[end as usize];
        let (forward, back) = (stream.link as usize, stream.back as usize);
        let lost = self.links[forward].loses() || self.links[back].loses();
        let open = self.links[forward].open && self.links[back].open;
        if stream_is_stalled(self, conn, end) {
            let stall = self.stall(now, conn, end);
            stall.lost |= lost;
            if open && !stall.lost {
                self.flush(now, conn, end);
            } else {
                self.schedule_retry(now, conn, end);
            }
            return;
        }
        // Acknowledgements of bytes still on their way will be lost.
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let unacked = connection.streams[end as usize].unarrived(now);
        if unacked > 0 && !self.links[back].open {
            let Some(connection) = self.connection(conn) else {
                return;
            };
            let stream = &mut connection.streams[end as usize];
            stream.flights.retain(|flight| flight.arrives <= now);
            self.stall(now, conn, end).unacked += unacked;
            self.schedule_retry(now, conn, end);
            self.touch_link(back, back);
        }
    }

    /// Arms the timer of a stalled stream: the next retransmission where its path is open, else only
    /// the moment at which the kernel gives up.
    pub(super) fn schedule_retry(&mut self, now: Instant, conn: Conn, end: End) {
        self.sequence += 1;
        let serial = self.sequence;
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let forgotten = connection.forgotten;
        let Some(stall) = &mut connection.streams[end as usize].stall else {
            return;
        };
        stall.serial = serial;
        let (next, gives_up) = (stall.next_try(now), stall.gives_up());
        let link = connection.streams[end as usize].link as usize;
        let at = if self.links[link].open && !forgotten {
            next
        } else {
            gives_up
        };
        self.arm(at, Timer::Retry(conn, end, serial));
    }

    pub(super) fn on_retry(&mut self, now: Instant, conn: Conn, end: End, serial: u64) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let (forgotten, gone) = (connection.forgotten, connection.gone);
        let stream = &mut connection.streams[end as usize];
        let (forward, back) = (stream.link as usize, stream.back as usize);
        let Some(stall) = stream.stall.as_ref().filter(|stall| stall.serial == serial) else {
            return;
        };
        if now >= stall.gives_up() {
            let error = NetError::Reset;
            self.effects.push_back(Effect::Closed {
                conn,
                end,
                error,
                at: now,
            });
            if gone[end as usize] {
                // No process at this side waits for it: the kernel forgets the connection.
                self.finish(conn, end);
            }
            return;
        }
        if forgotten || !self.links[forward].open {
            self.schedule_retry(now, conn, end);
            return;
        }
        if self.links[back].open {
            self.flush(now, conn, end);
            return;
        }
        // It gets through, but no acknowledgement returns: only the first piece is tried, and if it was
        // delivered before, the other side gets nothing new.
        let slice = self.links[forward].slice();
        let stall = self.stall(now, conn, end);
        if stall.unacked == 0
            && let Some(chunk) = take_packet(&mut stall.waiting, slice)
        {
            stall.unacked += chunk.bytes();
            self.deliver(now, conn, end, chunk);
        }
        self.touch_link(back, back);
        self.schedule_retry(now, conn, end);
    }

    /// Both directions are open: all waiting bytes go out.
    fn flush(&mut self, now: Instant, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let gone = connection.gone[end.other() as usize];
        let receiver = connection.hosts[end.other() as usize];
        let stream = &mut connection.streams[end as usize];
        let Some(stall) = stream.stall.take() else {
            return;
        };
        let (link, back) = (stream.link as usize, stream.back as usize);
        let mut last = now;
        let frozen = self.hosts[receiver as usize].frozen;
        let mut bytes = stall.unacked;
        let thin = self.links[link].slice().is_some();
        if thin {
            self.requeue_on_line(now, conn, end, stall.waiting);
        } else {
            for chunk in stall.waiting {
                bytes += chunk.bytes();
                last = self.deliver(now, conn, end, chunk);
            }
        }
        let freed = if frozen {
            Instant::FAR_FUTURE
        } else {
            last + self.links[back].typical()
        };
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let stream = &mut connection.streams[end as usize];
        if bytes > 0 {
            stream.flights.push_back(Flight {
                arrives: last,
                freed,
                bytes,
            });
        }
        if stream.writer_waits {
            self.await_room(now, conn, end);
        }
        if gone && !thin {
            self.reset_by_peer(conn, end, last);
        }
    }

    fn deliver(&mut self, now: Instant, conn: Conn, end: End, chunk: Chunk) -> Instant {
        let seed = self.seed;
        let Some(connection) = self.connection(conn) else {
            return now;
        };
        let link = connection.streams[end as usize].link as usize;
        let at = self.links[link].transit(seed, now, chunk.bytes());
        let Some(connection) = self.connection(conn) else {
            return now;
        };
        let stream = &mut connection.streams[end as usize];
        let at = at.max(stream.last_arrival);
        stream.last_arrival = at;
        self.effects.push_back(Effect::Arrives {
            conn,
            end: end.other(),
            chunk,
            at,
        });
        at
    }

    /// Arms a timer for the moment at which a full stream has room, if that is known.
    pub(super) fn await_room(&mut self, now: Instant, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let first = connection.streams[end as usize].flights.front();
        if let Some(at) = first.map(|flight| flight.freed)
            && at != Instant::FAR_FUTURE
        {
            self.arm(at.max(now), Timer::Room(conn, end));
        }
    }

    pub(super) fn on_room(&mut self, now: Instant, conn: Conn, end: End) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let stream = &mut connection.streams[end as usize];
        if !stream.writer_waits {
            return;
        }
        if stream.room(now) > 0 {
            stream.writer_waits = false;
            self.effects.push_back(Effect::Room { conn, end });
        } else {
            self.await_room(now, conn, end);
        }
    }
}

fn stream_is_stalled(fabric: &mut Fabric, conn: Conn, end: End) -> bool {
    let connection = fabric.connection(conn);
    connection.is_some_and(|connection| connection.streams[end as usize].stall.is_some())
}
