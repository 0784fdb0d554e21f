//! Members that lie. They have no task: their kernel runs them when bytes arrive and time passes.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use lasso_core::time::Instant;

use super::{Due, Kernels};
use crate::fabric::{Conn, End};
use crate::liar::{AGAIN, EVERY, Liar, Lying};
use crate::seed::{self, Purpose};
use crate::world::FaultId;

/// One liar, from its step to its end.
pub(super) struct Visit {
    lying: Lying,
    port: u16,
    /// The seed of the run.
    seed: u64,
    fault: FaultId,
    /// Its machine, by number of the fabric.
    host: u32,
    until: Instant,
    attempts: u32,
}

/// One of its connections.
pub(super) struct Lies {
    /// The visit.
    number: u32,
    /// Present once the connect has succeeded.
    liar: Option<Box<Liar>>,
    /// Bytes that its kernel had no room for.
    unsent: VecDeque<Bytes>,
}

impl Kernels {
    pub(in crate::turmoil_world) fn let_lie(
        &mut self,
        lying: &Lying,
        port: u16,
        seed: u64,
        fault: FaultId,
    ) {
        let visit = Visit {
            lying: lying.clone(),
            port,
            seed,
            fault,
            host: self.stranger_host(lying.from),
            until: self.now + lying.lasts,
            attempts: 0,
        };
        self.liars.push(visit);
        self.liar_dials(self.liars.len() as u32 - 1);
    }

    pub(super) fn liar_dials(&mut self, number: u32) {
        let visit = &self.liars[number as usize];
        if self.now >= visit.until {
            return;
        }
        let (host, to, port) = (visit.host, visit.lying.to.0, visit.port);
        let conn = self.connect_host(host, to, port, None);
        if let Some(socket) = self.sockets.get_mut(&(conn, End::Dialler)) {
            socket.lies = Some(Lies {
                number,
                liar: None,
                unsent: VecDeque::new(),
            });
        }
        self.schedule(self.now + EVERY, Due::LiarWakes(conn));
    }

    /// The connect has succeeded.
    pub(super) fn liar_connected(&mut self, conn: Conn) {
        let now = self.now;
        let Some(lies) = self.lies(conn) else { return };
        let number = lies.number;
        let visit = &mut self.liars[number as usize];
        let attempt = visit.attempts;
        visit.attempts += 1;
        let keys = seed::derived(visit.seed, Purpose::Liar, number.into(), attempt.into());
        let liar = Liar::new(now, &visit.lying, attempt, keys);
        if let Some(lies) = self.lies(conn) {
            lies.liar = Some(Box::new(liar));
        }
        self.liar_speaks(conn);
    }

    /// Bytes have arrived.
    pub(super) fn liar_hears(&mut self, conn: Conn) {
        let now = self.now;
        let Some(socket) = self.sockets.get_mut(&(conn, End::Dialler)) else {
            return;
        };
        let arrived = core::mem::take(&mut socket.arrived);
        if let Some(liar) = self.lies(conn).and_then(|lies| lies.liar.as_mut()) {
            arrived.iter().for_each(|bytes| liar.receive(now, bytes));
        }
        self.liar_speaks(conn);
    }

    /// Time has passed.
    pub(super) fn liar_wakes(&mut self, conn: Conn) {
        let now = self.now;
        let Some(lies) = self.lies(conn) else { return };
        if let Some(liar) = &mut lies.liar {
            liar.tick(now);
        }
        let number = lies.number as usize;
        if now >= self.liars[number].until {
            return self.close(conn, End::Dialler);
        }
        self.liar_speaks(conn);
        self.schedule(now + EVERY, Due::LiarWakes(conn));
    }

    /// Sends a liar's bytes, as far as its kernel has room.
    pub(super) fn liar_speaks(&mut self, conn: Conn) {
        let now = self.now;
        self.count_lies(conn);
        while let Some(lies) = self.lies(conn) {
            let Some(liar) = &mut lies.liar else { return };
            let mut bytes = match lies.unsent.pop_front() {
                Some(bytes) => bytes,
                None => match liar.poll_transmit(now) {
                    Some(bytes) => {
                        liar.written(now, bytes.len());
                        bytes
                    }
                    None => break,
                },
            };
            let taken = self.send((conn, End::Dialler), &bytes);
            if taken < bytes.len() {
                bytes.advance(taken);
                if let Some(lies) = self.lies(conn) {
                    lies.unsent.push_front(bytes);
                }
                return;
            }
        }
        let over = |lies: &mut Lies| lies.liar.as_ref().is_some_and(|liar| liar.is_over());
        if self.lies(conn).is_some_and(over) {
            self.liar_is_gone(conn);
            self.close(conn, End::Dialler);
        }
    }

    /// A liar takes effect when it lies, not when it connects.
    fn count_lies(&mut self, conn: Conn) {
        let Some(lies) = self.lies(conn) else { return };
        let number = lies.number;
        let told = lies.liar.as_mut().map_or(0, |liar| liar.take_told());
        if told > 0 {
            self.touch(self.liars[number as usize].fault);
        }
    }

    /// Its connection is over; it will try again.
    pub(super) fn liar_is_gone(&mut self, conn: Conn) {
        if let Some(number) = self.lies(conn).map(|lies| lies.number) {
            self.schedule(self.now + AGAIN, Due::LiarDials(number));
        }
    }

    fn lies(&mut self, conn: Conn) -> Option<&mut Lies> {
        self.sockets.get_mut(&(conn, End::Dialler))?.lies.as_mut()
    }
}
