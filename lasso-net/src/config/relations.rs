//! What must hold between variables.

use std::collections::BTreeSet;

use lasso_core::name::{ROLES_MAX, undialable};

use super::{
    COOKIE_ADVISED, COOKIE_MIN, Config, ConfigError, ConfigErrors, ConfigWarning, Origin, Variable,
    parse,
};

/// Checks every relation. `broken` are the variables whose own value was refused already: what
/// follows from that alone is not said a second time.
pub(super) fn check(
    config: &Config,
    broken: &BTreeSet<&'static str>,
    origin: &dyn Fn(&str) -> Origin,
) -> Result<Vec<ConfigWarning>, ConfigErrors> {
    let mut check = Check {
        config,
        broken,
        origin,
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    check.ranges();
    check.clustering();
    check.peers();
    check.cookies();
    check.ports();
    check.settings();
    check.files();
    if check.errors.is_empty() {
        Ok(check.warnings)
    } else {
        Err(ConfigErrors(check.errors))
    }
}

struct Check<'a> {
    config: &'a Config,
    broken: &'a BTreeSet<&'static str>,
    origin: &'a dyn Fn(&str) -> Origin,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
}

impl Check<'_> {
    fn clustered(&self) -> bool {
        self.config.is_clustered()
            || self.broken.contains("CLUSTER_DNS_QUERY")
            || self.broken.contains("CLUSTER_PEERS")
    }

    /// What the parsers see to, for a configuration that a program filled field by field.
    fn ranges(&mut self) {
        let config = self.config;
        if let Some(ip) = config.ip
            && let Err(problem) = parse::reachable(ip)
        {
            self.refuse("CLUSTER_NODE_IP", Some(ip.to_string()), &problem);
        }
        for peer in &config.peers {
            if let Some(why) = undialable(peer.address()) {
                let problem = format!("it cannot be dialled: {why}");
                self.refuse("CLUSTER_PEERS", Some(peer.to_string()), &problem);
            }
        }
        if let Some(server) = config.dns_server
            && let Err(problem) = parse::dns_server(&server.to_string())
        {
            self.refuse("CLUSTER_DNS_SERVER", Some(server.to_string()), &problem);
        }
        for (name, value) in [
            ("CLUSTER_PORT", u32::from(config.port)),
            ("EXPECTED_NODE_COUNT", config.expected_nodes),
            ("HTTP_PORT", u32::from(config.http_port)),
        ] {
            if value == 0 {
                self.refuse(name, Some("0".into()), "it is out of range");
            }
        }
        if config.roles.len() > ROLES_MAX {
            let count = config.roles.len();
            self.refuse("APP_ROLE", None, &format!("{count} roles are too many"));
        }
    }

    /// What clustering needs is there, and a node that is named is no silent single node.
    fn clustering(&mut self) {
        let config = self.config;
        if !self.clustered() {
            if let Some(basename) = &config.basename {
                let problem = "the node would run alone, since neither CLUSTER_DNS_QUERY nor \
                               CLUSTER_PEERS is set (a builder's `.query()` and `.peer()`); set one \
                               of them or drop the basename";
                self.refuse("CLUSTER_NODE_BASENAME", Some(basename.to_string()), problem);
            }
            return;
        }
        let by_query = !config.queries.is_empty() || self.broken.contains("CLUSTER_DNS_QUERY");
        let by = if by_query {
            "CLUSTER_DNS_QUERY"
        } else {
            "CLUSTER_PEERS"
        };
        for (name, present) in [
            ("CLUSTER_NODE_BASENAME", config.basename.is_some()),
            ("CLUSTER_NODE_IP", config.ip.is_some()),
            ("RELEASE_COOKIE", config.cookie.is_some()),
        ] {
            if !present && !self.broken.contains(name) {
                self.refuse(
                    name,
                    None,
                    &format!("it is not set, and {by} turns clustering on"),
                );
            }
        }
    }

    /// Two applications may form one cluster; far more often the name is wrong.
    fn peers(&mut self) {
        let Some(ours) = &self.config.basename else {
            return;
        };
        let peers = self.config.peers.iter();
        for peer in peers.filter(|peer| peer.basename() != ours) {
            let text = format!(
                "`{peer}` has another basename than this node, `{ours}`: they link up only where \
                 that node expects `{ours}` as well"
            );
            let variable = "CLUSTER_PEERS".into();
            self.warnings.push(ConfigWarning { variable, text });
        }
    }

    fn cookies(&mut self) {
        let config = self.config;
        for (name, cookie) in [
            ("RELEASE_COOKIE", &config.cookie),
            ("RELEASE_COOKIE_PREVIOUS", &config.cookie_previous),
        ] {
            let Some(bytes) = cookie.as_ref().map(|cookie| cookie.len()) else {
                continue;
            };
            if bytes < COOKIE_MIN && !config.dev {
                self.refuse(
                    name,
                    None,
                    &format!("{bytes} bytes are too short for a secret"),
                );
            } else if bytes < COOKIE_ADVISED {
                self.warn(
                    name,
                    format!(
                        "a secret of {bytes} bytes; {COOKIE_ADVISED} or more are advised, and \
                         `keygen` makes them"
                    ),
                );
            }
        }
        if config.cookie_previous.is_some() && config.cookie.is_none() && !self.clustered() {
            self.refuse("RELEASE_COOKIE_PREVIOUS", None, "RELEASE_COOKIE is not set");
        }
        if config.cookie.is_some() && config.cookie == config.cookie_previous {
            let text = "it is the same as RELEASE_COOKIE, and has no effect";
            self.warn("RELEASE_COOKIE_PREVIOUS", text.into());
        }
    }

    /// Links and HTTP do not listen in the same place.
    fn ports(&mut self) {
        let config = self.config;
        let Some(links) = config.listen_on() else {
            return;
        };
        let same_address = links.ip() == config.http_bind
            || links.ip().is_unspecified()
            || config.http_bind.is_unspecified();
        if links.port() == config.http_port && same_address {
            let problem = "links use the same port on the same address";
            self.refuse("HTTP_PORT", Some(config.http_port.to_string()), problem);
        }
    }

    fn settings(&mut self) {
        if let Err(error) = self.config.settings.validate() {
            self.errors.push(ConfigError {
                variable: error.field.into(),
                value: Some(error.value),
                origin: Origin::Program,
                problem: "it does not fit".into(),
                accepted: error.why.into(),
            });
        }
    }

    fn refuse(&mut self, name: &'static str, value: Option<String>, problem: &str) {
        self.errors.push(ConfigError {
            variable: name.into(),
            value,
            origin: (self.origin)(name),
            problem: problem.into(),
            accepted: Variable::named(name)
                .map_or("", |variable| variable.accepted)
                .into(),
        });
    }

    /// Whoever names a directory expects that something is kept there.
    fn files(&mut self) {
        if let Some(directory) = &self.config.data_dir {
            let directory = directory.display();
            let text = format!("nothing is kept in `{directory}`: this release keeps no files");
            self.warn("LASSO_DATA_DIR", text);
        }
    }

    fn warn(&mut self, name: &'static str, text: String) {
        self.warnings.push(ConfigWarning {
            variable: name.into(),
            text,
        });
    }
}
