//! Invariant 3: Nobody without the cookie changes any state but counters: whoever a node calls
//! connected is, or was, a process of that identity, in the same cluster and with a secret in
//! common.

use lasso_core::name::NodeName;

use super::Found;
use super::cast::{Cast, share_secret};
use crate::scenario::NodeId;

const NUMBER: u32 = 3;

/// A node has told its subscribers that it is linked.
pub(super) fn connected(
    cast: &Cast,
    node: NodeId,
    name: &NodeName,
    incarnation: u64,
    found: &mut Vec<Found>,
) {
    let me = cast.actor(node);
    let wrong = match cast.whose(name, incarnation) {
        None => "no process has had that identity",
        Some(other) if !share_secret(me, cast.actor(other)) => "they share no secret",
        Some(other) if me.cluster != cast.actor(other).cluster => "it is of another cluster",
        Some(_) => return,
    };
    let text = format!(
        "only a member may connect; {} calls {name} of incarnation {incarnation} connected, and \
         {wrong}",
        me.name
    );
    found.push((NUMBER, text));
}
