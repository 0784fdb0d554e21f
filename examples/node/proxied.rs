//! The proxy of one node: from its file to its routes.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use lasso::config::Config;
use lasso::events::SampleRates;
use lasso::http::Limits;
use lasso::{Cluster, process};
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::proxy::settings::{Secret, Settings};
use crate::proxy::sink::{self, ClusterSink};
use crate::proxy::{Proxy, budget, guided};

/// What the proxy is told, and by whom.
pub(crate) struct Proxied {
    settings: Settings,
    /// `None`: it is built in.
    file: Option<PathBuf>,
}

/// Reads the proxy's configuration: the file that the flag or `PROXY_CONFIG` names, or what is built
/// in; the operator's key is that of the file, or `PROXY_OPERATOR_KEY`.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub(crate) fn load(flag: Option<&Path>) -> Result<Proxied, Failure> {
    let named = env::var_os("PROXY_CONFIG").filter(|path| !path.is_empty());
    let file = flag.map(PathBuf::from).or(named.map(PathBuf::from));
    let mut settings = match &file {
        None => Settings::built_in(),
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .map(Zeroizing::new)
                .map_err(|error| Failure::refused(format!("{}: {error}", path.display())))?;
            Settings::read(&text).map_err(|wrong| {
                let wrong: Vec<String> = wrong.iter().map(|one| format!("\n  {one}")).collect();
                let path = path.display();
                Failure::refused(format!("{path} is refused{}", wrong.concat()))
            })?
        }
    };
    if settings.operator_key.is_none()
        && let Some(key) = env::var_os(OPERATOR_KEY).filter(|key| !key.is_empty())
    {
        settings.operator_key = Some(operators(&settings, &key)?);
    }
    Ok(Proxied { settings, file })
}

/// The operator's key, as the environment has it.
fn operators(settings: &Settings, text: &OsStr) -> Result<Secret, Failure> {
    let refused = |problem: &str| Failure::refused(format!("{OPERATOR_KEY}: {problem}"));
    let text = text.to_str().ok_or_else(|| refused("it is no text"))?;
    let key = Secret::chosen(text).map_err(|problem| refused(&problem))?;
    // Whoever bears it would be the operator, and no longer the account.
    if settings.keys.contains_key(&key) {
        return Err(refused("it is an account's key already"));
    }
    Ok(key)
}

impl Proxied {
    /// Raises the limit of file descriptors, and fits its bounds into what the system gives.
    ///
    /// # Errors
    /// The system gives too few.
    pub(crate) fn fit(&mut self, config: &Config) -> Result<(), Failure> {
        if let Ok(files) = process::raise_open_files()
            && files.now > files.before
        {
            let (before, now) = (files.before, files.now);
            info!(before, now, "the limit of open files was raised");
        }
        let Some(files) = process::open_files_max() else {
            return Ok(());
        };
        if budget::fit(files, config, &mut self.settings).map_err(Failure::new)? {
            let bounds = &self.settings.limits;
            warn!(
                files,
                connections = bounds.connections,
                in_flight = bounds.in_flight,
                viewers = bounds.viewers,
                "bounds of HTTP were reduced to fit into the limit of open files"
            );
        }
        Ok(())
    }

    /// Starts it; its routes come back, beside the others of the node.
    pub(crate) fn start(&self, cluster: &Cluster, others: Router) -> Router {
        let (node, region) = (cluster.name().to_string(), cluster.health().node.region);
        let sink = ClusterSink::new(cluster);
        let proxy = Proxy::start(self.settings.clone(), &node, region.as_str(), sink);
        let routes = others.merge(proxy.serving()).merge(proxy.showing(cluster));
        proxy.guarded(guided(routes))
    }

    /// Where requests can go: every `profile/chain`.
    pub(crate) fn chains(&self) -> impl Iterator<Item = String> {
        let profiles = self.settings.profiles.iter();
        profiles.flat_map(|(name, profile)| {
            let chains = profile.chains.keys();
            chains.map(move |chain| format!("{name}/{chain}"))
        })
    }

    /// How many successes the node publishes of those of each profile.
    pub(crate) fn sampling(&self) -> SampleRates {
        sink::rates(&self.settings)
    }

    /// What clients may make the process hold.
    pub(crate) fn http_limits(&self, drain_time: Duration) -> Limits {
        Limits {
            connections: self.settings.limits.connections,
            connections_per_address: self.settings.limits.connections / 4 * 3,
            drain_time,
            connection_time: CONNECTION_TIME,
            ..Limits::default()
        }
    }
}

/// As `--check-config` shows it.
impl fmt::Display for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings {
            operator_key,
            keys,
            profiles,
            ..
        } = &self.settings;
        match &self.file {
            Some(path) => writeln!(f, "proxy: {}", path.display())?,
            None => writeln!(f, "proxy: built in, with simulated providers")?,
        }
        let operator = operator_key
            .as_ref()
            .map_or("none".into(), |key| format!("{key:?}"));
        writeln!(
            f,
            "  operator's key: {operator}; keys of accounts: {}",
            keys.len()
        )?;
        for (name, profile) in profiles {
            for (chain, settings) in &profile.chains {
                let names: Vec<&str> = settings
                    .providers
                    .iter()
                    .map(|one| one.name.as_str())
                    .collect();
                let (strategy, names) = (profile.strategy, names.join(", "));
                writeln!(f, "  /rpc/{name}/{chain}: {strategy} of {names}")?;
            }
        }
        Ok(())
    }
}

/// The operator's key, where the file has none.
const OPERATOR_KEY: &str = "PROXY_OPERATOR_KEY";
/// Clients of a proxy keep their connections.
const CONNECTION_TIME: Duration = Duration::from_secs(600);
