//! Families of identities and descriptions. All nodes still form one cluster.

use super::Draft;
use crate::random::dice::Dice;

/// Gives each node one of some values.
fn each(dice: &mut Dice, drafts: &mut [Draft], key: &'static str, values: &[&str]) {
    for draft in drafts {
        let value = dice.one_of(values);
        draft.node(key, value);
    }
}

/// Each node offers one of two secrets and accepts the other one.
pub(super) fn cookies(dice: &mut Dice, drafts: &mut [Draft]) {
    let secrets = [
        "\"the old secret, of 32 bytes.....\"",
        "\"the new secret, of 32 bytes.....\"",
    ];
    for draft in drafts {
        let offered = dice.below(2);
        draft.node("cookie", secrets[offered]);
        draft.node("cookie_previous", secrets[1 - offered]);
    }
}

pub(super) fn roles(dice: &mut Dice, drafts: &mut [Draft]) {
    each(
        dice,
        drafts,
        "roles",
        &[
            "[\"web\"]",
            "[\"ingestor\"]",
            "[\"web\", \"ingestor\"]",
            "[]",
        ],
    );
}

pub(super) fn regions(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "region", &["\"iad\"", "\"sjc\"", "\"lhr\""]);
}

pub(super) fn releases(dice: &mut Dice, drafts: &mut [Draft]) {
    each(
        dice,
        drafts,
        "version",
        &["\"1.0.0\"", "\"1.1.0\"", "\"2.0.0\""],
    );
}

/// Two applications, each of which queries both.
pub(super) fn apps(dice: &mut Dice, drafts: &mut [Draft]) {
    for draft in drafts {
        let app = dice.one_of(&["first", "second"]);
        draft.node("app", format!("\"{app}\""));
        let dns = "[\"first.internal=first\", \"second.internal=second\"]";
        draft.node("dns", dns);
    }
}

pub(super) fn clocks(dice: &mut Dice, drafts: &mut [Draft]) {
    each(
        dice,
        drafts,
        "clock",
        &["\"+0s\"", "\"+50ms\"", "\"-3s\"", "\"+90s\"", "\"-1h\""],
    );
}
