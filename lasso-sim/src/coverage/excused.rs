//! What no run has to reach, each with the reason.

use super::{Item, Kind};

/// What may stay unreached: its kind, its name, and why. A run that reaches it nevertheless is welcome.
pub const EXCUSED: &[(Kind, &str, &str)] = &[];

/// Why an item need not be reached; `None`: it must be.
pub fn excuse(item: &Item) -> Option<&'static str> {
    let mut all = EXCUSED.iter();
    let found = all.find(|(kind, name, _)| *kind == item.kind && *name == item.name);
    found.map(|(_, _, why)| *why)
}
