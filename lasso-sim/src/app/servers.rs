//! The served methods, each with its manner of answering.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use lasso_core::plane::Reject;
use lasso_core::time::Instant;
use rand_chacha::ChaCha8Rng;

use super::{Ask, Output, Reply, Serve, payload};
use crate::seed::up_to;

/// All of one application.
#[derive(Debug)]
pub(super) struct Servers {
    served: BTreeMap<Arc<str>, Serve>,
    /// Requests in progress, by when they will be done and by their order of arrival.
    working: BTreeMap<(Instant, u64), (u64, Reply)>,
    requests: u64,
    rng: ChaCha8Rng,
}

/// A question to a handler.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) id: u64,
    pub(super) payload: &'a [u8],
    pub(super) deadline: Instant,
}

impl Servers {
    pub(super) fn new(rng: ChaCha8Rng) -> Self {
        Servers {
            served: BTreeMap::new(),
            working: BTreeMap::new(),
            requests: 0,
            rng,
        }
    }

    pub(super) fn serve(&mut self, serve: Serve, out: &mut VecDeque<Output>) {
        let method = Arc::clone(&serve.method);
        if self.served.insert(Arc::clone(&method), serve).is_none() {
            out.push_back(Output::Ask(Ask::Serve { method }));
        }
    }

    pub(super) fn on_request(
        &mut self,
        now: Instant,
        method: &str,
        question: &Question<'_>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(serve) = self.served.get(method) else {
            return;
        };
        let drawn = up_to(&mut self.rng, MILLION - 1);
        let (panics, rejects) = (u64::from(serve.panics_ppm), u64::from(serve.rejects_ppm));
        let reply = match payload::read(question.payload) {
            None => rejected("the question is not what was asked"),
            Some(_) if drawn < panics => Reply::Panics(Arc::clone(&serve.method)),
            Some(_) if drawn < panics + rejects => rejected("no"),
            Some(tag) => Reply::Done(payload::make(tag, serve.size)),
        };
        let (least, most) = serve.takes;
        let spread = (most - least).as_nanos() as u64;
        let takes = least + Duration::from_nanos(up_to(&mut self.rng, spread));
        let id = question.id;
        if takes.is_zero() {
            out.push_back(Output::Ask(Ask::Reply { id, reply }));
            return;
        }
        let (done, reply) = match now + takes {
            done if done > question.deadline => (question.deadline, Reply::Late),
            done => (done, reply),
        };
        self.requests += 1;
        self.working.insert((done, self.requests), (id, reply));
    }

    /// Sends the answers that are due.
    pub(super) fn due(&mut self, now: Instant, out: &mut VecDeque<Output>) {
        while let Some(first) = self.working.first_entry()
            && first.key().0 <= now
        {
            let (id, reply) = first.remove();
            out.push_back(Output::Ask(Ask::Reply { id, reply }));
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.working.first_key_value().map(|((at, _), _)| *at)
    }
}

fn rejected(message: &str) -> Reply {
    Reply::Rejected(Reject {
        code: NO,
        message: message.to_owned(),
    })
}

/// The code of every rejection.
const NO: u32 = 7;
const MILLION: u64 = 1_000_000;
