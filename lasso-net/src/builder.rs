//! How a program starts a node.

use core::time::Duration;
use std::net::SocketAddr;

use lasso_core::config::Settings;
use lasso_core::name::{Label, NameError, NodeName};
use lasso_core::secure::Cookie;

use crate::cluster::{Cluster, StartError};
use crate::config::{Config, ConfigError, ConfigErrors, Origin};
use crate::seam::Platform;
use crate::tokio_platform::TokioPlatform;

/// Starts a node. What is wrong with any of its calls is told by [`Builder::start`], all at once.
///
/// ```no_run
/// # async fn start() -> Result<(), lasso_net::StartError> {
/// use lasso_net::Cluster;
///
/// let cluster = Cluster::builder()
///     .name("app@10.0.0.5")
///     .cookie("a secret of at least 32 bytes, the same on every node")
///     .query("app.internal")
///     .region("iad")
///     .start()
///     .await?;
/// println!("{}", cluster.coverage());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    config: Config,
    errors: Vec<ConfigError>,
}

impl Builder {
    /// Takes a whole configuration, such as [`Loader`](crate::config::Loader) reads; calls before
    /// this one are forgotten.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self.errors.clear();
        self
    }

    /// The node's name, `basename@ip` or `basename@ip:port`: basename, address and port in one.
    pub fn name(mut self, name: &str) -> Self {
        match name.parse::<NodeName>() {
            Ok(name) => {
                self.config.basename = Some(name.basename().clone());
                self.config.ip = Some(name.address().ip());
                self.config.port = name.address().port();
            }
            Err(error) => self.refuse("CLUSTER_NODE_BASENAME", name, &error),
        }
        self
    }

    /// The secret that all nodes share; at least 16 bytes, better 32.
    pub fn cookie(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.config.cookie = Some(Cookie::new(secret));
        self
    }

    /// A second secret that is accepted and not offered, for rotation.
    pub fn cookie_previous(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.config.cookie_previous = Some(Cookie::new(secret));
        self
    }

    /// The cluster's name, `lasso` by default.
    pub fn cluster_name(self, name: &str) -> Self {
        self.take("CLUSTER_NAME", name, |config, read| {
            config.cluster = read.cluster
        })
    }

    /// A DNS name under which other nodes are found; may be called several times.
    pub fn query(self, query: &str) -> Self {
        self.take("CLUSTER_DNS_QUERY", query, |config, read| {
            config.queries.extend(read.queries)
        })
    }

    /// A node to dial, by its name; may be called several times.
    pub fn peer(self, name: &str) -> Self {
        self.take("CLUSTER_PEERS", name, |config, read| {
            config.peers.extend(read.peers)
        })
    }

    /// The resolver to ask, in place of the system's.
    pub fn dns_server(mut self, server: SocketAddr) -> Self {
        self.config.dns_server = Some(server);
        self
    }

    /// The region, `unknown` by default.
    pub fn region(self, region: &str) -> Self {
        self.take("CLUSTER_REGION", region, |config, read| {
            config.region = read.region
        })
    }

    /// A role; may be called several times.
    pub fn role(self, role: &str) -> Self {
        self.take("APP_ROLE", role, |config, read| {
            config.roles.extend(read.roles)
        })
    }

    /// The application's version.
    pub fn version(mut self, version: &str) -> Self {
        match Label::new("version", version) {
            Ok(label) => self.config.version = label,
            Err(error) => self.refuse("version", version, &error),
        }
        self
    }

    /// How many nodes the operator expects, this one included; 1 by default.
    pub fn expected_nodes(mut self, nodes: u32) -> Self {
        self.config.expected_nodes = nodes;
        self
    }

    /// The tick time, 60 s by default; 1 s to 600 s.
    pub fn tick_time(mut self, tick_time: Duration) -> Self {
        self.config.settings.link.tick_time = tick_time;
        self
    }

    /// Every other interval and bound.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.config.settings = settings;
        self
    }

    /// Starts the node on tokio's network. Must be called inside a tokio runtime with IO and time. What is
    /// worked out for viewers of live events takes one thread of the runtime's pool for work that blocks:
    /// see [`Events::viewer`](crate::events::Events::viewer).
    ///
    /// # Errors
    /// Everything that is wrong with the configuration, or what the system refuses.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<Cluster, StartError> {
        let platform = TokioPlatform::new(self.config.dns_server);
        self.start_on(platform).await
    }

    async fn start_on(self, platform: impl Platform) -> Result<Cluster, StartError> {
        let mut errors = self.errors;
        match self.config.validate() {
            Ok(warnings) => warnings.into_iter().for_each(|warning| {
                platform.say(Box::new(move || tracing::warn!("{warning}")));
            }),
            // What could not be read is not missing as well.
            Err(ConfigErrors(more)) => {
                let unread = |variable: &str| errors.iter().any(|error| error.variable == variable);
                let name_unread = unread("CLUSTER_NODE_BASENAME");
                let said = |error: &ConfigError| {
                    unread(&error.variable) || name_unread && error.variable == "CLUSTER_NODE_IP"
                };
                let more: Vec<ConfigError> = more.into_iter().filter(|e| !said(e)).collect();
                errors.extend(more);
            }
        }
        if !errors.is_empty() {
            let errors = errors.into_iter().map(named).collect();
            return Err(ConfigErrors(errors).into());
        }
        let entropy = || -> Result<[u8; 32], StartError> {
            let mut bytes = [0; 32];
            let fill = getrandom::fill(&mut bytes);
            fill.map_err(|error| StartError::System(error.to_string()))?;
            Ok(bytes)
        };
        // A node without a cookie takes no links; one that nobody knows keeps it so.
        let config = self.config.node_config(Cookie::new(entropy()?));
        Cluster::start_on(platform, config, entropy()?, self.config.listen_on(), None).await
    }

    /// Reads one variable as a flag would be read, and moves it over.
    fn take(
        mut self,
        variable: &'static str,
        text: &str,
        into: impl FnOnce(&mut Config, Config),
    ) -> Self {
        let mut read = Config::default();
        match read.set(variable, text) {
            Ok(()) => into(&mut self.config, read),
            Err(ConfigErrors(errors)) => self.errors.extend(errors),
        }
        self
    }

    fn refuse(&mut self, variable: &'static str, text: &str, error: &NameError) {
        self.errors.push(ConfigError {
            variable: variable.into(),
            value: Some(text.to_owned()),
            origin: Origin::Program,
            problem: error.to_string(),
            accepted: String::new(),
        });
    }
}

/// The error as a program sees it that knows methods, and no variables.
fn named(mut error: ConfigError) -> ConfigError {
    if error.origin == Origin::Program {
        error.origin = method(&error.variable).map_or(Origin::Program, Origin::Builder);
    }
    error
}

/// The builder's method that sets a variable.
fn method(variable: &str) -> Option<&'static str> {
    let (_, method) = METHODS.iter().find(|(known, _)| *known == variable)?;
    Some(method)
}

const METHODS: &[(&str, &str)] = &[
    ("CLUSTER_NODE_BASENAME", "name"),
    ("CLUSTER_NODE_IP", "name"),
    ("CLUSTER_PORT", "name"),
    ("RELEASE_COOKIE", "cookie"),
    ("RELEASE_COOKIE_PREVIOUS", "cookie_previous"),
    ("CLUSTER_NAME", "cluster_name"),
    ("CLUSTER_DNS_QUERY", "query"),
    ("CLUSTER_PEERS", "peer"),
    ("CLUSTER_REGION", "region"),
    ("APP_ROLE", "role"),
    ("EXPECTED_NODE_COUNT", "expected_nodes"),
    ("version", "version"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn start_errors_name_the_method_beside_the_variable() {
        let builder = Cluster::builder().peer("shop@127.0.0.2").name("shop");
        let error = builder.start().await.unwrap_err().to_string();
        let lines = [
            "CLUSTER_NODE_BASENAME is `shop` (the builder's `.name()`): ",
            "RELEASE_COOKIE (the builder's `.cookie()`): it is not set, ",
        ];
        for line in lines {
            assert!(error.contains(line), "{error}");
        }
    }

    #[test]
    fn every_method_sets_a_variable_that_there_is() {
        for (variable, _) in METHODS {
            let known = crate::config::Variable::named(variable).is_some();
            assert!(known || *variable == "version", "{variable}");
        }
    }
}
