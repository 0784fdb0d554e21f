//! Tests of a user's own application: the public API of this crate.
//!
//! `builder` is the API of a test; `hooks` holds its checks and acts, and `visit` runs them during a scenario;
//! `seeds` runs the scenario with each seed and compares two runs of the first; `report` and `leaks` describe
//! failures.

mod builder;
mod ending;
mod environment;
mod hooks;
mod leaks;
mod node;
mod report;
mod rng;
mod seeds;
mod snapshot;
mod source;
mod visit;

use std::path::Path;

pub use self::builder::{Harness, Setup};
pub use self::ending::Ending;
pub use self::node::Node;
pub use self::report::{Failed, Report};
pub use self::rng::Rng;
pub use self::snapshot::{NodeSnapshot, Snapshot};
use self::source::Source;

/// A test with a scenario file. A relative path starts at the folder of the crate under test (`CARGO_MANIFEST_DIR`), or at the
/// current folder where cargo did not start the test.
///
/// The file is read by [`Harness::check`].
///
/// ```no_run
/// lasso_sim::scenario("tests/cut.toml")
///     .application(|cluster, _node| async move {
///         cluster.subscribe::<String>("orders")?.recv().await;
///         Ok::<(), lasso_net::messaging::SubscribeError>(())
///     })
///     .seeds(1..=20)
///     .check();
/// ```
pub fn scenario(path: impl AsRef<Path>) -> Setup {
    Setup::new(Source::File(path.as_ref().to_owned()))
}

/// A test with a scenario given as text. Messages call it `name`.
///
/// ```
/// let text = "lasso = 1\ntitle = \"One node\"\nnodes = { a = {} }\nends = \"5s\"";
/// lasso_sim::scenario_text("one.toml", text)
///     .application(|_cluster, node| async move { assert_eq!(node.key(), "a") })
///     .seeds(1..=1)
///     .check();
/// ```
pub fn scenario_text(name: &str, toml: &str) -> Setup {
    Setup::new(Source::Text {
        name: name.into(),
        toml: toml.to_owned(),
    })
}
