//! The items that need not be reached, each with the reason.

use super::{Item, Kind};

/// The items that may stay unreached: kind, name and reason. Runs may still reach them.
pub const EXCUSED: &[(Kind, &str, &str)] = &[
    (Kind::CloseReason, "unknown", LATER),
    (
        Kind::CloseReason,
        "no_common_version",
        "there is one version of the protocol so far",
    ),
    (
        Kind::CloseReason,
        "not_lasso",
        "in a simulation nothing but nodes listens",
    ),
    (Kind::Notice, "reconciled", MISTAKE),
    (Kind::Counter, "differences", MISTAKE),
    (
        Kind::Counter,
        "stale_incarnations",
        "the node closes such a connection before it is a link",
    ),
    (
        Kind::Counter,
        "frames_refused",
        "needs a member that sends a view beyond its bound, which no lie does; other bad frames are garbage",
    ),
    (Kind::Counter, "events_withheld", MISTAKE),
    (Kind::Counter, "events_unknown", LATER),
    (Kind::Counter, "plane_unknown", LATER),
    (
        Kind::Counter,
        "renumberings_held",
        "needs two false claims of one node's name within seconds, each of which that node hears of",
    ),
    (
        Kind::Counter,
        "named_shed",
        "needs DNS answers with 4,096 addresses, which a file would have to list",
    ),
    (Kind::Counter, "calls_malformed", BYTES),
    (
        Kind::Counter,
        "calls_stopped",
        "an application of a scenario ends with its node, and calls nobody after that",
    ),
    (
        Kind::Counter,
        "calls_cancelled",
        "applications of scenarios wait for each outcome",
    ),
    (
        Kind::Counter,
        "answers_unknown",
        "applications of scenarios answer once, and drop a question whose link was lost",
    ),
    (
        Kind::Counter,
        "members_unnoted",
        "needs 1,024 nodes that come or leave during one call to many",
    ),
    (
        Kind::Counter,
        "requests_unlinked",
        "the plane drops what comes on no link as stray, before a call is read from it",
    ),
    (
        Kind::Counter,
        "refusals_lost",
        "a control lane without room for a refusal has none for a check, and closes the link",
    ),
    (Kind::Counter, "events_stray", ENDS),
    (Kind::Counter, "events_unwanted", ENDS),
    (
        Kind::Counter,
        "events_unnamed",
        "each request has an id, and states are never looked up by one",
    ),
    (
        Kind::Counter,
        "successes_crowded",
        "needs 4,097 profiles, each with a step of its own",
    ),
    (Kind::Counter, "refreshes_given_up", SHORTER),
    (Kind::Counter, "refreshes_late", SHORTER),
    (Kind::Counter, "refreshes_unread", BYTES),
    (
        Kind::Counter,
        "series_oversized",
        "a file with such a long name is refused",
    ),
];

const LATER: &str = "only a peer of a later release can say that";
const MISTAKE: &str = "only a mistake of lasso itself leads there";
const BYTES: &str = "needs an answer of another release that this one cannot read";
const ENDS: &str = "a feed and the subscription to its topic end together";
const SHORTER: &str = "a gathering has a shorter timeout of its own, so it ends before";

/// Why an item need not be reached; `None` if it must be.
pub fn excuse(item: &Item) -> Option<&'static str> {
    let mut all = EXCUSED.iter();
    let found = all.find(|(kind, name, _)| *kind == item.kind && *name == item.name);
    found.map(|(_, _, why)| *why)
}
