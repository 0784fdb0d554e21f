//! File descriptors: what each part of the node may use of them.
//!
//! The bounds of all parts together fit into what the system gives, or HTTP gets less: links and DNS come
//! first, since a node that clients can keep from linking is none.

use lasso::config::Config;

use super::settings::{Limits, Settings, Source};

/// What one node needs, in file descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Needs {
    /// The program itself, links and names; never less.
    first: u64,
    /// Connections of HTTP clients.
    clients: u64,
    /// Connections to providers.
    upstream: u64,
}

/// Fits the bounds of HTTP into so many file descriptors; true when they had to be reduced.
///
/// # Errors
/// Not even the fewest clients would fit.
pub(crate) fn fit(files: u64, config: &Config, settings: &mut Settings) -> Result<bool, String> {
    let needs = needs(config, settings, files);
    if needs.first + needs.clients + needs.upstream <= files {
        return Ok(false);
    }
    let (clients, upstream) = share(needs, files).ok_or_else(|| {
        format!(
            "this process may open {files} files, and needs {} at the least: raise the limit \
             (`ulimit -n`, `LimitNOFILE=`)",
            needs.first + HTTP_LEAST
        )
    })?;
    reduce(&mut settings.limits, clients, upstream);
    Ok(true)
}

fn needs(config: &Config, settings: &Settings, files: u64) -> Needs {
    let lasso = &config.settings;
    let links = if config.is_clustered() {
        let expected = u64::from(config.expected_nodes).max(NODES_LEAST);
        // Two connections of a pair may stand for a moment.
        lasso.link.handshakes_max as u64 + lasso.dial.concurrent_max as u64 + 2 * expected
            // Those that are being closed.
            + (files / 8).min(1024)
    } else {
        0
    };
    let upstream = if has_upstreams(settings) {
        // As many may be idle, see the client of providers.
        2 * settings.limits.in_flight as u64
    } else {
        0
    };
    Needs {
        first: PROGRAM + links,
        clients: settings.limits.connections as u64,
        upstream,
    }
}

fn has_upstreams(settings: &Settings) -> bool {
    let mut chains = settings
        .profiles
        .values()
        .flat_map(|one| one.chains.values());
    chains.any(|chain| {
        let mut providers = chain.providers.iter();
        providers.any(|one| matches!(one.source, Source::Upstream(_)))
    })
}

/// What is left for clients and for connections to providers, in the proportion of their bounds.
fn share(needs: Needs, files: u64) -> Option<(u64, u64)> {
    let left = files.checked_sub(needs.first)?;
    if left < HTTP_LEAST {
        return None;
    }
    let clients = left * needs.clients / (needs.clients + needs.upstream);
    let clients = clients.clamp(HTTP_LEAST / 2, needs.clients.max(HTTP_LEAST / 2));
    Some((clients, left - clients))
}

fn reduce(limits: &mut Limits, clients: u64, upstream: u64) {
    let at_most = |bound: &mut usize, most: u64| {
        *bound = (*bound)
            .min(usize::try_from(most).unwrap_or(usize::MAX))
            .max(1);
    };
    at_most(&mut limits.connections, clients);
    at_most(&mut limits.viewers, clients / 2);
    at_most(&mut limits.viewers_per_account, clients / 2);
    // Each request under way is at one provider at a time, and idle connections are beside them.
    let in_flight = limits.in_flight;
    if upstream > 0 {
        at_most(&mut limits.in_flight, upstream / 2);
    }
    let per_account = limits.in_flight_per_account as u64 * limits.in_flight as u64;
    at_most(
        &mut limits.in_flight_per_account,
        per_account / in_flight.max(1) as u64,
    );
}

/// Standard streams, listeners, the runtime's own, reserved places of HTTP, DNS, and connections that are
/// being closed.
const PROGRAM: u64 = 96;
/// Links for which there is room however few nodes are expected.
const NODES_LEAST: u64 = 32;
/// The fewest file descriptors with which HTTP is worth anything.
const HTTP_LEAST: u64 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_gets_what_links_leave_and_too_little_is_refused() {
        let mut config = Config {
            peers: vec!["lasso@10.0.0.2".parse().expect("a name")],
            ..Config::default()
        };
        let with_upstream = "[profiles.p.chains.eth]\nproviders = [{ name = \"a\", url = \"http://x.internal/\" }]\n";
        let fitted = |config: &Config, files| {
            let mut settings = Settings::read(with_upstream).expect("it is right");
            let reduced = fit(files, config, &mut settings)?;
            let Limits {
                connections,
                in_flight,
                ..
            } = settings.limits;
            Ok::<_, String>((reduced, connections, in_flight))
        };
        assert_eq!(fitted(&config, 65_536), Ok((false, 1_024, 1_024)));
        let (reduced, connections, in_flight) = fitted(&config, 1_024).expect("there is room");
        assert!(reduced && (100..300).contains(&connections) && (100..300).contains(&in_flight));
        let first = needs(&config, &Settings::built_in(), 1_024).first as usize;
        assert!(first + connections + 2 * in_flight <= 1_024);
        config.expected_nodes = 400;
        let refused = fitted(&config, 1_024).expect_err("links need them");
        assert!(refused.contains("may open 1024 files"), "{refused}");
    }

    #[test]
    fn bounds_are_reduced_together() {
        let mut limits = Limits::default();
        reduce(&mut limits, 200, 300);
        assert_eq!(limits.connections, 200);
        assert_eq!((limits.viewers, limits.viewers_per_account), (64, 16));
        assert_eq!((limits.in_flight, limits.in_flight_per_account), (150, 75));
    }
}
