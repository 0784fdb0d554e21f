//! Families of tiny bounds, so that a plan meets them with little load.

use super::Draft;
use crate::random::dice::Dice;

/// Gives each node, or all of them, one of some values.
fn each(dice: &mut Dice, drafts: &mut [Draft], key: &'static str, values: &[&str]) {
    for draft in drafts {
        let value = dice.one_of(values);
        draft.set(key, value);
    }
}

/// Gives all nodes the same value.
fn same(dice: &mut Dice, drafts: &mut [Draft], key: &'static str, values: &[&str]) {
    let value = dice.one_of(values);
    for draft in drafts {
        draft.set(key, value);
    }
}

pub(super) fn lanes(dice: &mut Dice, drafts: &mut [Draft]) {
    let sizes = [
        "\"4096B\"",
        "\"4097B\"",
        "\"16KiB\"",
        "\"64KiB\"",
        "\"256KiB\"",
    ];
    each(dice, drafts, "data_lane_bytes", &sizes);
    each(dice, drafts, "calls_lane_bytes", &sizes);
}

pub(super) fn messages(dice: &mut Dice, drafts: &mut [Draft]) {
    // A receiver that accepts less than its peers send would be a different mistake.
    let sizes = [
        "\"4096B\"",
        "\"16KiB\"",
        "\"65536B\"",
        "\"128KiB\"",
        "\"256KiB\"",
    ];
    same(dice, drafts, "message_bytes_max", &sizes);
}

pub(super) fn queues(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "queue_max", &["1", "2", "8", "64", "1024"]);
    each(
        dice,
        drafts,
        "queue_bytes_max",
        &["\"4096B\"", "\"64KiB\"", "\"1MiB\""],
    );
}

pub(super) fn topics(dice: &mut Dice, drafts: &mut [Draft]) {
    // A bound below the number of topics loses messages without a report, as documented.
    same(dice, drafts, "topics_max", &["64", "65", "128"]);
    same(dice, drafts, "interest_max", &["64", "65", "128"]);
}

pub(super) fn memory(dice: &mut Dice, drafts: &mut [Draft]) {
    same(dice, drafts, "topics_max", &["8", "12", "16"]);
}

pub(super) fn handlers(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "handlers_max", &["1", "2", "3", "8"]);
    each(dice, drafts, "waiting_max", &["1", "2", "8", "64"]);
    each(dice, drafts, "call_timeout", &["\"500ms\"", "\"5s\""]);
}

pub(super) fn handshakes(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "handshakes_max", &["8", "16", "256"]);
    each(dice, drafts, "handshakes_per_address", &["2", "4", "64"]);
}

pub(super) fn viewers(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "events_dedup_max", &["1", "4", "50", "50000"]);
    each(
        dice,
        drafts,
        "events_dedup_window",
        &["\"2s\"", "\"30s\"", "\"120s\""],
    );
    each(dice, drafts, "events_viewer_queue", &["1", "10", "1000"]);
    each(dice, drafts, "events_batch_max", &["1", "10", "100"]);
    each(dice, drafts, "events_viewers_max", &["1", "3", "1000"]);
}

pub(super) fn pages(dice: &mut Dice, drafts: &mut [Draft]) {
    each(dice, drafts, "metrics_keys_max", &["1", "2", "64"]);
    each(
        dice,
        drafts,
        "metrics_enabled",
        &["true", "true", "true", "false"],
    );
}

pub(super) fn overlap(dice: &mut Dice, drafts: &mut [Draft]) {
    same(dice, drafts, "prevent_overlapping_partitions", &["true"]);
}
