//! Invariant 3: Nobody without the cookie changes any state but counters: whoever a node calls
//! connected is, or was, a process of that identity, in the same cluster and with a secret in
//! common.

use super::Found;
use super::cast::{Cast, Who, share_secret};
use crate::scenario::NodeId;

const NUMBER: u32 = 3;

/// A node has told its subscribers that it is linked.
pub(super) fn connected(
    cast: &Cast,
    node: NodeId,
    who: Who,
    incarnation: u64,
    found: &mut Vec<Found>,
) {
    let me = cast.actor(node);
    let wrong = match cast.whose(who, incarnation) {
        None if cast.is_liar(cast.name(who), incarnation) => return,
        None => "no process has had that identity",
        Some(other) if !share_secret(me, cast.actor(other)) => "they share no secret",
        Some(other) if me.cluster != cast.actor(other).cluster => "it is of another cluster",
        Some(_) => return,
    };
    let name = cast.name(who);
    let text = format!(
        "only a member may connect; {} calls {name} of incarnation {incarnation} connected, and \
         {wrong}",
        me.name
    );
    found.push((NUMBER, text));
}
