//! The steps of a connect: first packet, answer, acceptance.

use core::time::Duration;

use lasso_core::node::NetError;
use lasso_core::time::Instant;

use super::{Chunk, Conn, Effect, End, Fabric, Phase, Timer};

/// When Linux sends the first packet of a connect, counted from the first try: seven tries.
const SYN_TRIES: [Duration; 7] = [
    Duration::ZERO,
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(7),
    Duration::from_secs(15),
    Duration::from_secs(31),
    Duration::from_secs(63),
];
/// When it gives up.
const SYN_GIVE_UP: Duration = Duration::from_secs(127);

impl Fabric {
    /// Hosts accept connections on this port.
    pub fn listen(&mut self, host: u32, port: u16) {
        self.hosts[host as usize].listening.insert(port);
    }

    /// Connects to this port are refused from now on.
    pub fn unlisten(&mut self, host: u32, port: u16) {
        self.hosts[host as usize].listening.remove(&port);
    }

    pub(super) fn on_syn(&mut self, now: Instant, conn: Conn, attempt: u32) {
        let seed = self.seed;
        let Some(connection) = self.connection(conn) else {
            return;
        };
        let Phase::Connecting { held } = connection.phase else {
            return;
        };
        let index = connection.streams[0].link as usize;
        let attempt = attempt as usize;
        let Some(since_first) = SYN_TRIES.get(attempt) else {
            let at = now;
            let error = NetError::Unreachable;
            self.effects.push_back(Effect::Closed {
                conn,
                end: End::Dialler,
                error,
                at,
            });
            return;
        };
        let next = SYN_TRIES.get(attempt + 1).copied().unwrap_or(SYN_GIVE_UP);
        self.arm(
            now + (next - *since_first),
            Timer::Syn(conn, attempt as u32 + 1),
        );
        let link = &mut self.links[index];
        if link.open {
            if !link.loses_one(seed) {
                let at = link.transit(seed, now, 0);
                self.arm(at, Timer::SynArrives(conn));
            }
            return;
        }
        let (fault, resets, holds) = (link.fault(), link.resets(), !link.loses());
        if resets {
            let at = now + link.typical() * 2;
            self.arm(at, Timer::Refused(conn));
        } else if holds
            && !held
            && let Some(connection) = self.connection(conn)
        {
            connection.phase = Phase::Connecting { held: true };
        }
        if let Some(fault) = fault {
            self.touch(fault);
        }
    }

    pub(super) fn on_syn_arrives(&mut self, now: Instant, conn: Conn) {
        let seed = self.seed;
        let Some(connection) = self.connection(conn) else {
            return;
        };
        if !matches!(connection.phase, Phase::Connecting { .. }) {
            return;
        }
        let (to, port) = (connection.hosts[1], connection.port);
        let back = connection.streams[0].back as usize;
        let listening = self.hosts[to as usize].listening.contains(&port);
        let link = &mut self.links[back];
        if link.open {
            if !link.loses_one(seed) {
                let at = link.transit(seed, now, 0);
                let answer = if listening {
                    Timer::Established(conn)
                } else {
                    Timer::Refused(conn)
                };
                self.arm(at, answer);
            }
        } else if let Some(fault) = link.fault() {
            self.touch(fault);
        }
    }

    pub(super) fn on_established(&mut self, now: Instant, conn: Conn) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        if !matches!(connection.phase, Phase::Connecting { .. }) {
            return;
        }
        connection.phase = Phase::Established;
        // The acceptance first: bytes that the dialler writes when it learns of the connection must follow it.
        if let Some(at) = self.send(now, conn, End::Dialler, Chunk::Accept) {
            let (end, chunk) = (End::Acceptor, Chunk::Accept);
            self.effects.push_back(Effect::Arrives {
                conn,
                end,
                chunk,
                at,
            });
        }
        self.effects.push_back(Effect::Connected { conn });
    }

    pub(super) fn on_refused(&mut self, now: Instant, conn: Conn) {
        let Some(connection) = self.connection(conn) else {
            return;
        };
        if matches!(connection.phase, Phase::Connecting { .. }) {
            let error = NetError::Refused;
            self.effects.push_back(Effect::Closed {
                conn,
                end: End::Dialler,
                error,
                at: now,
            });
        }
    }

    /// The first packet of a connect was held, and is released.
    pub(super) fn release_syn(&mut self, now: Instant, conn: Conn) {
        let seed = self.seed;
        let Some(connection) = self.connection(conn) else {
            return;
        };
        connection.phase = Phase::Connecting { held: false };
        let link = connection.streams[0].link as usize;
        let at = self.links[link].transit(seed, now, 0);
        self.arm(at, Timer::SynArrives(conn));
    }
}
