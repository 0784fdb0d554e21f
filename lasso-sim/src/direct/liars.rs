//! Members that lie. Each lies on one connection at a time, and connects again when it is lost.

use std::collections::VecDeque;

use lasso_core::time::Instant;

use super::wire::{Arrival, Owner, Socket};
use super::{DirectWorld, Event};
use crate::fabric::{Conn, End};
use crate::liar::{AGAIN, EVERY, Liar, Lying};
use crate::seed::{self, Purpose};
use crate::world::FaultId;

/// One liar, from its step to its end.
#[derive(Debug)]
pub(super) struct Visit {
    lying: Lying,
    fault: FaultId,
    /// Its machine, by number of the fabric.
    host: u32,
    until: Instant,
    attempts: u32,
}

/// One of its connections.
#[derive(Debug)]
pub(super) struct Lies {
    /// The visit.
    number: u32,
    /// Present once the connect has succeeded.
    liar: Option<Box<Liar>>,
}

/// A scheduled action of a liar.
#[derive(Debug)]
pub(super) enum Turn {
    /// It connects again.
    Dials(u32),
    /// It may lie on a connection.
    Wakes(Conn),
}

impl DirectWorld {
    pub(super) fn liar_turn(&mut self, turn: Turn) {
        match turn {
            Turn::Dials(number) => {
                self.liar_dials(number);
                self.take_effects();
            }
            Turn::Wakes(conn) => self.liar_wakes(conn),
        }
    }

    pub(super) fn let_lie(&mut self, lying: &Lying) {
        self.invariants.lies(lying);
        let visit = Visit {
            lying: lying.clone(),
            fault: self.fault,
            host: self.stranger_host(lying.from),
            until: self.now + lying.lasts,
            attempts: 0,
        };
        self.liars.push(visit);
        self.liar_dials(self.liars.len() as u32 - 1);
        self.take_effects();
    }

    /// A liar connects, for the first time or again.
    fn liar_dials(&mut self, number: u32) {
        let visit = &self.liars[number as usize];
        if self.now >= visit.until {
            return;
        }
        let (from, to) = (visit.host, visit.lying.to);
        let port = self.hosts[to.index()].spec.address.port();
        let conn = self.fabric.connect(self.now, from, to.0, port);
        let lies = Lies { number, liar: None };
        self.wire
            .insert(conn, End::Dialler, Socket::new(Owner::Liar(lies)));
        self.schedule(self.now + EVERY, Event::Liar(Turn::Wakes(conn)));
    }

    pub(super) fn arrive_at_liar(&mut self, conn: Conn, what: Arrival) {
        let now = self.now;
        match what {
            Arrival::Connected => self.liar_connected(conn),
            Arrival::Data(bytes) => {
                if let Some(liar) = self.liar(conn) {
                    liar.receive(now, &bytes);
                }
                self.liar_speaks(conn);
            }
            Arrival::Closed(_) => {
                self.liar_is_gone(conn);
                self.wire.remove(conn, End::Dialler);
                self.fabric.finish(conn, End::Dialler);
            }
            Arrival::Accepted => {}
        }
    }

    fn liar_connected(&mut self, conn: Conn) {
        let Some(number) = self.visit_of(conn) else {
            return;
        };
        let visit = &mut self.liars[number as usize];
        let attempt = visit.attempts;
        visit.attempts += 1;
        let keys = seed::derived(self.seed, Purpose::Liar, number.into(), attempt.into());
        let liar = Liar::new(self.now, &self.liars[number as usize].lying, attempt, keys);
        if let Some(Socket {
            owner: Owner::Liar(lies),
            ..
        }) = self.wire.socket(conn, End::Dialler)
        {
            lies.liar = Some(Box::new(liar));
        }
        self.liar_speaks(conn);
    }

    /// Time has passed for one connection.
    fn liar_wakes(&mut self, conn: Conn) {
        let Some(number) = self.visit_of(conn) else {
            return;
        };
        let now = self.now;
        if now >= self.liars[number as usize].until {
            return self.close_socket(conn, End::Dialler);
        }
        if let Some(liar) = self.liar(conn) {
            liar.tick(now);
        }
        self.liar_speaks(conn);
        self.schedule(now + EVERY, Event::Liar(Turn::Wakes(conn)));
    }

    /// Sends a liar's bytes, as far as its kernel has room.
    pub(super) fn liar_speaks(&mut self, conn: Conn) {
        let now = self.now;
        let told = self.liar(conn).map_or(0, Liar::take_told);
        if told > 0
            && let Some(number) = self.visit_of(conn)
        {
            let fault = self.liars[number as usize].fault;
            *self.effects.entry(fault).or_insert(0) += told;
        }
        loop {
            self.send_on(conn, End::Dialler);
            let Some(socket) = self.wire.socket(conn, End::Dialler) else {
                return;
            };
            let Owner::Liar(lies) = &mut socket.owner else {
                return;
            };
            let Some(liar) = &mut lies.liar else { return };
            if !socket.unsent.is_empty() {
                return;
            }
            let Some(bytes) = liar.poll_transmit(now) else {
                break;
            };
            liar.written(now, bytes.len());
            socket.unsent = VecDeque::from([bytes]);
        }
        if self.liar(conn).is_some_and(|liar| liar.is_over()) {
            self.liar_is_gone(conn);
            self.close_socket(conn, End::Dialler);
        }
    }

    /// Its connection is over; it will try again.
    fn liar_is_gone(&mut self, conn: Conn) {
        if let Some(liar) = self.visit_of(conn) {
            self.schedule(self.now + AGAIN, Event::Liar(Turn::Dials(liar)));
        }
    }

    fn liar(&mut self, conn: Conn) -> Option<&mut Liar> {
        match &mut self.wire.socket(conn, End::Dialler)?.owner {
            Owner::Liar(lies) => lies.liar.as_deref_mut(),
            _ => None,
        }
    }

    fn visit_of(&mut self, conn: Conn) -> Option<u32> {
        match &self.wire.socket(conn, End::Dialler)?.owner {
            Owner::Liar(lies) => Some(lies.number),
            _ => None,
        }
    }
}
