//! The scenario language: the model of a file, and how it is read.
//!
//! `value` is the file as a tree with positions; `reader` turns values into durations, amounts and
//! nodes and remembers every mistake; `nodes` (with `draft` and `place`), `network` and `steps` each
//! read their section, and `parse` all of them. `model` holds the result.
//!
//! A file is read as a `template`. `draws` replaces each `range` that the file leaves to a seed; `each` does so for
//! nodes, `timeline` for steps. `write` writes a drawn tree as a file.

mod amount;
mod draft;
mod draws;
mod each;
mod errors;
mod model;
mod names;
mod network;
mod nodes;
mod parse;
mod place;
mod range;
mod reader;
mod settings;
mod sometimes;
mod steps;
mod template;
mod timeline;
mod units;
mod uses;
mod value;
mod write;

pub use amount::Amount;
pub use errors::{BadFile, Diagnostic};
pub use model::{
    Action, Expect, Expectation, Latency, Loc, Moment, Network, NodeId, NodeSpec, Rule, RuleKind,
    Scenario, Shape, Source, Step, Subjects,
};
pub use names::Names;
pub(crate) use names::shorten;
pub use nodes::NODES_MAX;
pub use parse::{FILE_BYTES_MAX, LANGUAGE};
pub(crate) use reader::one_of;
pub use reader::{Fields, Reader};
pub use settings::keys as setting_keys;
pub use sometimes::Sometimes;
pub use template::Template;
pub use timeline::STEPS_MAX;
pub(crate) use units::{DURATION_FORM, duration as read_duration};
pub use units::{DURATION_MAX, show as show_duration};
pub use uses::{Deed, OPERATOR};
pub use value::{Key, Kind, Table, Value};

pub(crate) use draft::{address, offset_ms, read_cookie};
pub(crate) use network::{one_way, read_paths, read_shape};
pub(crate) use nodes::read_all as read_nodes;
pub(crate) use settings::read as read_settings;
