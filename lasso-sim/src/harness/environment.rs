//! The environment variables of a test: the seeds, and the file for traces.

use core::ops::RangeInclusive;
use std::env;
use std::path::PathBuf;
use std::thread;

use super::report::Failed;

/// See the module's text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Environment {
    /// Overrides the seeds of the test.
    pub(super) seeds: Option<RangeInclusive<u64>>,
    /// The file for traces.
    pub(super) trace: Option<PathBuf>,
    /// The test, as `cargo test` knows it.
    pub(super) test: Option<String>,
    /// The package of the test.
    pub(super) package: Option<String>,
}

/// One seed.
const SEED: &str = "LASSO_SEED";
/// A range of seeds.
const SEEDS: &str = "LASSO_SEEDS";
/// A file for traces.
const TRACE: &str = "LASSO_TRACE";

impl Environment {
    /// Reads those of this process, for the test of this thread.
    pub(super) fn read() -> Result<Self, Failed> {
        let one = env::var(SEED).ok();
        let many = env::var(SEEDS).ok();
        let seeds = seeds(one.as_deref(), many.as_deref()).map_err(Failed::plain)?;
        // The harness of cargo names each test's thread after the test.
        let test = thread::current().name().map(str::to_owned);
        Ok(Environment {
            seeds,
            trace: env::var_os(TRACE).map(PathBuf::from),
            test: test.filter(|name| name != "main"),
            package: env::var("CARGO_PKG_NAME").ok(),
        })
    }

    /// The command that repeats the run of one seed.
    pub(super) fn replay(&self, seed: u64) -> String {
        let mut command = format!("{SEED}={seed} cargo test");
        if let Some(package) = &self.package {
            command.push_str(&format!(" -p {package}"));
        }
        match &self.test {
            Some(test) => command.push_str(&format!(" {test} -- --exact --nocapture")),
            None => command.push_str(" -- --nocapture"),
        }
        command
    }
}

fn seeds(one: Option<&str>, many: Option<&str>) -> Result<Option<RangeInclusive<u64>>, String> {
    if let Some(text) = one {
        let seed = text.trim().parse();
        let seed: u64 = seed.map_err(|_| format!("{SEED}={text} is no seed such as 7"))?;
        return Ok(Some(seed..=seed));
    }
    let Some(text) = many else { return Ok(None) };
    let wrong = || format!("{SEEDS}={text} is no range of seeds such as 1..1000");
    let (first, last) = text.trim().split_once("..").ok_or_else(wrong)?;
    let last = last.strip_prefix('=').unwrap_or(last);
    let range = first.parse().map_err(|_| wrong())?..=last.parse().map_err(|_| wrong())?;
    if range.is_empty() {
        return Err(wrong());
    }
    Ok(Some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_goes_before_many_and_both_ends_of_a_range_are_part_of_it() {
        assert_eq!(seeds(None, None), Ok(None));
        assert_eq!(seeds(Some("7"), Some("1..9")), Ok(Some(7..=7)));
        assert_eq!(seeds(None, Some("1..1000")), Ok(Some(1..=1000)));
        assert_eq!(seeds(None, Some("3..=4")), Ok(Some(3..=4)));
        for wrong in ["", "7", "9..1", "a..b"] {
            let error = seeds(None, Some(wrong)).unwrap_err();
            assert!(error.contains("LASSO_SEEDS"), "{error}");
        }
        assert!(seeds(Some("x"), None).is_err());
    }

    #[test]
    fn the_command_repeats_one_test_of_one_package() {
        let environment = Environment {
            test: Some("orders::a_cut".to_owned()),
            package: Some("shop".to_owned()),
            ..Environment::default()
        };
        assert_eq!(
            environment.replay(7),
            "LASSO_SEED=7 cargo test -p shop orders::a_cut -- --exact --nocapture"
        );
        assert_eq!(
            Environment::default().replay(7),
            "LASSO_SEED=7 cargo test -- --nocapture"
        );
    }
}
