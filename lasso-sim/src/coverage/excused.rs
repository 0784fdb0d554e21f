//! The items that no run has to reach, each with the reason.

use super::{Item, Kind};

/// The items that may stay unreached: kind, name and reason. Runs may still reach them.
pub const EXCUSED: &[(Kind, &str, &str)] = &[
    (Kind::CloseReason, "unknown", LATER),
    (
        Kind::CloseReason,
        "no_common_version",
        "there is one version of the protocol so far",
    ),
    (Kind::Notice, "reconciled", MISTAKE),
    (Kind::Counter, "differences", MISTAKE),
    (
        Kind::Counter,
        "stale_incarnations",
        "the node closes such a connection before it is a link",
    ),
    (Kind::Counter, "events_withheld", MISTAKE),
    (Kind::Counter, "events_unknown", LATER),
    (Kind::Counter, "plane_unknown", LATER),
];

const LATER: &str = "only a peer of a later release can say that";
const MISTAKE: &str = "only a mistake of lasso itself leads there";

/// Why an item need not be reached; `None`: it must be.
pub fn excuse(item: &Item) -> Option<&'static str> {
    let mut all = EXCUSED.iter();
    let found = all.find(|(kind, name, _)| *kind == item.kind && *name == item.name);
    found.map(|(_, _, why)| *why)
}
