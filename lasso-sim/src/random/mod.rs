//! `[random]`: what a seed may draw, written out as steps and settings of a plain scenario.

use crate::scenario::{Diagnostic, Table};

/// The key of the table.
pub(crate) const KEY: &str = "random";

/// Replaces `[random]` by the steps and settings that the seed draws from it. What is wrong with the table is
/// added to `errors`.
pub(crate) fn expand(tree: &mut Table, _seed: u64, errors: &mut Vec<Diagnostic>) {
    if let Some((key, _)) = tree.remove(KEY) {
        errors.push(Diagnostic::new(key.span, "`[random]` cannot be drawn yet"));
    }
}
