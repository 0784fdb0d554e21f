//! Loads of events.

use std::sync::Arc;

use lasso_core::name::Label;
use lasso_core::plane::{PublishError, Reach};
use lasso_core::time::Instant;
use rand_chacha::ChaCha8Rng;
use rand_core::Rng;

use super::{Emission, Emit, EventSaw, What};
use crate::app::load::Running;

#[derive(Debug)]
struct Emitting {
    what: Arc<Emit>,
    /// The prefix of its ids.
    ids: String,
    number: u64,
    load: Running,
}

/// All of one application.
#[derive(Debug)]
pub(in crate::app) struct Emitters {
    all: Vec<Emitting>,
    /// Draws prefixes of ids.
    rng: ChaCha8Rng,
    /// The event whose result comes next.
    emitted: Option<Emission>,
}

impl Emitters {
    pub(in crate::app) fn new(rng: ChaCha8Rng) -> Self {
        Emitters {
            all: Vec::new(),
            rng,
            emitted: None,
        }
    }

    pub(in crate::app) fn emit(&mut self, now: Instant, emit: &Emit) {
        let given = match &emit.what {
            What::Decisions(decisions) => decisions.ids.clone(),
            What::Circuit(_) | What::Height(_) => None,
        };
        let ids = given.unwrap_or_else(|| format!("{:016x}", self.rng.next_u64()));
        self.all.push(Emitting {
            what: Arc::new(emit.clone()),
            ids,
            number: 0,
            load: Running::new(now, emit.load),
        });
    }

    /// The next event that is due.
    pub(in crate::app) fn next(&mut self, now: Instant) -> Option<Emission> {
        self.all.retain(|emitting| !emitting.load.is_over(now));
        let is_due = |emitting: &&mut Emitting| emitting.load.due().is_some_and(|at| at <= now);
        let emitting = self.all.iter_mut().find(is_due)?;
        emitting.load.take(now);
        let number = emitting.number;
        emitting.number += 1;
        let is_event = matches!(emitting.what.what, What::Decisions(_));
        let id = is_event.then(|| format!("{}-{number}", emitting.ids));
        let emission = Emission {
            emit: Arc::clone(&emitting.what),
            number,
            id: id.and_then(|id| Label::new("request id", &id).ok()),
        };
        self.emitted = Some(emission.clone());
        Some(emission)
    }

    pub(in crate::app) fn on_emitted(
        &mut self,
        result: Result<Option<Reach>, PublishError>,
    ) -> Option<EventSaw> {
        let emission = self.emitted.take()?;
        Some(EventSaw::Emitted { emission, result })
    }

    pub(in crate::app) fn poll_timeout(&self) -> Option<Instant> {
        self.all.iter().filter_map(|e| e.load.due()).min()
    }
}
