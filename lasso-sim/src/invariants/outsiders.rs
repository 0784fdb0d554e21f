//! Invariant 3: A stranger without the cookie changes no state but counters: each peer that a node
//! reports as connected is, or was, a process with that identity, in the same cluster and with a common
//! secret.

use lasso_core::event::{Change, TopologyEvent};

use super::Witness;
use super::cast::share_secret;
use super::invariant::{Entry, Invariant, Moment};

pub(super) const ENTRY: Entry = Entry {
    number: 3,
    name: "outsiders",
    make: |_| Box::new(Outsiders),
};

/// See the module's text.
#[derive(Debug)]
struct Outsiders;

impl Invariant for Outsiders {
    fn event(&mut self, at: &mut Moment<'_>, event: &TopologyEvent, _: &dyn Witness) {
        let Change::NodeConnected { name, incarnation } = &event.change else {
            return;
        };
        let cast = &at.facts.cast;
        let me = cast.actor(at.node);
        let wrong = match cast.whose_name(name, incarnation.0) {
            None if cast.is_liar(name, incarnation.0) => None,
            None => Some("no process has had that identity"),
            Some(other) if !share_secret(me, cast.actor(other)) => Some("they share no secret"),
            Some(other) if me.cluster != cast.actor(other).cluster => {
                Some("it is of another cluster")
            }
            Some(_) => None,
        };
        at.demand(wrong.is_none(), || {
            format!(
                "only a member may connect; {} calls {name} of incarnation {incarnation} connected, \
                 and {}",
                me.name,
                wrong.unwrap_or_default()
            )
        });
    }
}
