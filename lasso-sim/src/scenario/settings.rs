//! The settings of behaviour that a file may change, for one node or for all.

use core::time::Duration;

use lasso_core::config::Settings;

use super::errors::Diagnostic;
use super::reader::Reader;
use super::value::Value;

type Place<T> = fn(&mut Settings) -> &mut T;

/// Settings that are durations, by their key in a file.
const DURATIONS: &[(&str, Place<Duration>)] = &[
    ("tick_time", |s| &mut s.link.tick_time),
    ("handshake_timeout", |s| &mut s.link.handshake_timeout),
    ("unfinished_timeout", |s| &mut s.link.unfinished_timeout),
    ("ask_timeout", |s| &mut s.link.ask_timeout),
    ("connect_timeout", |s| &mut s.dial.connect_timeout),
    ("backoff_min", |s| &mut s.dial.backoff_min),
    ("backoff_max", |s| &mut s.dial.backoff_max),
    ("backoff_max_stale", |s| &mut s.dial.backoff_max_stale),
    ("stale_after", |s| &mut s.dial.stale_after),
    ("second_delay", |s| &mut s.dial.second_delay),
    ("refused_secret", |s| &mut s.dial.refused_secret),
    ("poll_interval", |s| &mut s.discovery.poll_interval),
    ("forget_after", |s| &mut s.discovery.forget_after),
    ("lookup_timeout", |s| &mut s.discovery.lookup_timeout),
    ("describe_timeout", |s| &mut s.topology.describe_timeout),
    ("describe_backoff_min", |s| {
        &mut s.topology.describe_backoff_min
    }),
    ("describe_backoff_max", |s| {
        &mut s.topology.describe_backoff_max
    }),
    ("describe_again", |s| &mut s.topology.describe_again),
    ("health_interval", |s| &mut s.topology.health_interval),
    ("health_timeout", |s| &mut s.topology.health_timeout),
    ("health_suspect_interval", |s| {
        &mut s.topology.health_suspect_interval
    }),
    ("reconcile_interval", |s| &mut s.topology.reconcile_interval),
    ("disconnected_keep", |s| &mut s.topology.disconnected_keep),
    ("flap_window", |s| &mut s.topology.flap_window),
    ("call_timeout", |s| &mut s.calls.timeout),
    ("metrics_timeout", |s| &mut s.metrics.timeout),
    ("call_timeout_max", |s| &mut s.calls.timeout_max),
    ("leave_within", |s| &mut s.leave.within),
    ("events_dedup_window", |s| &mut s.events.dedup_window),
    ("events_batch_interval", |s| &mut s.events.batch_interval),
    ("events_heartbeat", |s| &mut s.events.heartbeat),
    ("events_linger", |s| &mut s.events.linger),
];

/// Settings that are counts.
const COUNTS: &[(&str, Place<usize>)] = &[
    ("links_max", |s| &mut s.link.links_max),
    ("links_per_address", |s| &mut s.link.links_per_address),
    ("pending_max", |s| &mut s.link.pending_max),
    ("handshakes_max", |s| &mut s.link.handshakes_max),
    ("handshakes_per_address", |s| {
        &mut s.link.handshakes_per_address
    }),
    ("concurrent_dials_max", |s| &mut s.dial.concurrent_max),
    ("addresses_max", |s| &mut s.discovery.addresses_max),
    ("disconnected_max", |s| &mut s.topology.disconnected_max),
    ("queue_max", |s| &mut s.pubsub.queue_max),
    ("interest_max", |s| &mut s.pubsub.interest_max),
    ("subscribers_max", |s| &mut s.pubsub.subscribers_max),
    ("topics_max", |s| &mut s.pubsub.topics_max),
    ("handlers_max", |s| &mut s.calls.handlers_max),
    ("waiting_max", |s| &mut s.calls.waiting_max),
    ("methods_max", |s| &mut s.calls.methods_max),
    ("events_dedup_max", |s| &mut s.events.dedup_max),
    ("events_batch_max", |s| &mut s.events.batch_max),
    ("events_viewer_queue", |s| &mut s.events.viewer_queue),
    ("events_viewers_max", |s| &mut s.events.viewers_max),
    ("events_scopes_max", |s| &mut s.events.scopes_max),
    ("events_series_max", |s| &mut s.events.series_max),
    ("events_states_max", |s| &mut s.events.states_max),
    ("metrics_keys_max", |s| &mut s.metrics.store.keys_max),
    ("metrics_series_max", |s| &mut s.metrics.recorder.series_max),
];

/// Settings that are sizes.
const SIZES: &[(&str, Place<usize>)] = &[
    ("control_lane_bytes", |s| &mut s.link.control_lane_bytes),
    ("calls_lane_bytes", |s| &mut s.link.calls_lane_bytes),
    ("data_lane_bytes", |s| &mut s.link.data_lane_bytes),
    ("message_bytes_max", |s| &mut s.link.message_bytes_max),
    ("unfinished_bytes_max", |s| &mut s.link.unfinished_bytes_max),
    ("handlers_bytes_max", |s| &mut s.calls.handlers_bytes_max),
    ("queue_bytes_max", |s| &mut s.pubsub.queue_bytes_max),
];

/// Settings that are on or off.
const FLAGS: &[(&str, Place<bool>)] = &[
    ("prevent_overlapping_partitions", |s| {
        &mut s.topology.prevent_overlapping_partitions
    }),
    ("metrics_enabled", |s| &mut s.metrics.enabled),
];

/// Every key, for messages and documents.
pub fn keys() -> impl Iterator<Item = &'static str> {
    let durations = DURATIONS.iter().map(|(key, _)| *key);
    let counts = COUNTS.iter().map(|(key, _)| *key);
    durations
        .chain(counts)
        .chain(SIZES.iter().map(|(key, _)| *key))
        .chain(FLAGS.iter().map(|(key, _)| *key))
}

/// Reads a table of settings over the present settings.
pub(crate) fn read(reader: &mut Reader<'_>, value: &Value, settings: &mut Settings) {
    let Some(mut fields) = reader.fields(value, "a table such as `{ tick_time = \"8s\" }`") else {
        return;
    };
    for (key, place) in DURATIONS {
        if let Some(duration) = fields.take(key).and_then(|value| reader.duration(value)) {
            *place(settings) = duration;
        }
    }
    for (key, place) in COUNTS {
        if let Some(count) = fields.take(key).and_then(|v| reader.integer(v, 1, 1 << 20)) {
            *place(settings) = count as usize;
        }
    }
    for (key, place) in SIZES {
        let value = fields.take(key);
        if let Some(bytes) = value.and_then(|value| reader.bytes(value, 1, 1 << 30)) {
            *place(settings) = bytes;
        }
    }
    for (key, place) in FLAGS {
        if let Some(flag) = fields.take(key).and_then(|value| reader.flag(value)) {
            *place(settings) = flag;
        }
    }
    fields.finish(reader, "settings");
    if let Err(error) = settings.validate() {
        reader
            .error(Diagnostic::new(value.span.clone(), error.to_string()).label("these settings"));
    }
}
