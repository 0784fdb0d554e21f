use std::path::Path;
use std::time::Duration;

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// The least that makes a node of a cluster.
fn clustered() -> Vec<(&'static str, &'static str)> {
    vec![
        ("CLUSTER_DNS_QUERY", "lasso.internal"),
        ("CLUSTER_NODE_BASENAME", "lasso"),
        ("CLUSTER_NODE_IP", "10.0.0.5"),
        ("RELEASE_COOKIE", SECRET),
    ]
}

fn load(environment: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    Loader::new()
        .environment(environment.iter().copied())
        .load()
}

fn errors(environment: &[(&str, &str)]) -> Vec<String> {
    load(environment)
        .unwrap_err()
        .0
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn nothing_set_is_a_node_that_runs_alone() {
    let loaded = load(&[]).unwrap();
    assert!(!loaded.config.is_clustered());
    assert_eq!(loaded.config.listen_on(), None);
    assert_eq!(loaded.config.node_name().to_string(), "lasso@127.0.0.1");
    assert!(loaded.rows.iter().all(|row| row.origin == Origin::Default));
    assert!(loaded.warnings.is_empty());
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_type() {
    let mut from_table = Config::default();
    for variable in VARIABLES
        .iter()
        .filter(|variable| !variable.default.is_empty())
    {
        (variable.set)(&mut from_table, variable.default).unwrap();
    }
    assert_eq!(
        format!("{from_table:?}"),
        format!("{:?}", Config::default())
    );
}

#[test]
fn every_variable_has_a_flag_and_a_key_in_its_own_dress() {
    let query = Variable::named("CLUSTER_DNS_QUERY").unwrap();
    assert_eq!(
        (query.flag().as_str(), query.key().as_str()),
        ("cluster-dns-query", "cluster_dns_query")
    );
    for variable in VARIABLES {
        assert!(
            !variable.help.is_empty() && !variable.accepted.is_empty(),
            "{}",
            variable.name
        );
    }
}

#[test]
fn flags_win_over_environment_over_file_over_default() {
    let file = "cluster_region = \"file\"\ncluster_port = 1001\ncluster_tick_time = \"8s\"\n";
    for flags_first in [true, false] {
        let flags = [("CLUSTER_REGION", "flag")];
        let environment = [("CLUSTER_REGION", "env"), ("CLUSTER_PORT", "1002")];
        let path = Path::new("node.toml");
        let loader = if flags_first {
            Loader::new()
                .flags(flags)
                .environment(environment)
                .text(path, file)
        } else {
            Loader::new()
                .text(path, file)
                .environment(environment)
                .flags(flags)
        };
        let loaded = loader.load().unwrap();
        assert_eq!(loaded.config.region.as_str(), "flag");
        assert_eq!(loaded.config.port, 1002);
        assert_eq!(
            loaded.config.settings.link.tick_time,
            Duration::from_secs(8)
        );
        assert_eq!(loaded.config.http_port, 4000);
        let origin = |name| {
            loaded
                .rows
                .iter()
                .find(|row| row.name == name)
                .unwrap()
                .origin
                .to_string()
        };
        assert_eq!(origin("CLUSTER_REGION"), "flag");
        assert_eq!(origin("CLUSTER_PORT"), "environment");
        assert_eq!(origin("CLUSTER_TICK_TIME"), "node.toml:3");
        assert_eq!(origin("HTTP_PORT"), "default");
    }
}

#[test]
fn each_bad_value_is_refused_with_its_name_its_value_and_what_would_do() {
    for (name, value) in [
        ("CLUSTER_DNS_QUERY", "no spaces"),
        ("CLUSTER_DNS_QUERY", "lasso.internal,a..b"),
        ("CLUSTER_DNS_QUERY", "lasso.internal=bad name"),
        ("CLUSTER_DNS_QUERY", "10.0.0.5"),
        ("CLUSTER_PEERS", "10.0.0.5"),
        ("CLUSTER_PEERS", "lasso@10.0.0.5:0"),
        ("CLUSTER_PEERS", "lasso@0.0.0.0"),
        ("CLUSTER_NODE_BASENAME", "a@b"),
        ("CLUSTER_NODE_IP", "localhost"),
        ("CLUSTER_NODE_IP", "0.0.0.0"),
        ("CLUSTER_PORT", "0"),
        ("CLUSTER_PORT", "70000"),
        ("CLUSTER_BIND", "eth0"),
        ("CLUSTER_DNS_SERVER", "10.0.0.2:dns"),
        ("EXPECTED_NODE_COUNT", "0"),
        ("EXPECTED_NODE_COUNT", "-1"),
        ("CLUSTER_TICK_TIME", "60"),
        ("CLUSTER_TICK_TIME", "0s"),
        ("CLUSTER_TICK_TIME", "601s"),
        ("CLUSTER_TICK_TIME", "99999999999999999999s"),
        ("CLUSTER_METRICS_ENABLED", "maybe"),
        ("HTTP_PORT", "http"),
        ("HTTP_BIND", "*"),
    ] {
        let mut environment = clustered();
        environment.push((name, value));
        let errors = errors(&environment);
        assert_eq!(errors.len(), 1, "{errors:?}");
        let accepted = Variable::named(name).unwrap().accepted;
        assert!(
            errors[0].starts_with(&format!("{name} is `{value}` (environment): ")),
            "{errors:?}"
        );
        assert!(
            errors[0].ends_with(&format!("; accepted: {accepted}")),
            "{errors:?}"
        );
    }
}

#[test]
fn all_errors_come_at_once() {
    let file = "cluster_prot = 1\ncluster_port = \"x\"\nexpected_node_count = 0.5\n";
    let errors = Loader::new()
        .text(Path::new("/etc/node.toml"), file)
        .environment([
            ("CLUSTER_PEERS", "lasso@10.0.0.6"),
            ("RELEASE_COOKIE", "short"),
        ])
        .flags([("CLUSTER_TICK_TIME", "soon")])
        .load()
        .unwrap_err()
        .to_string();
    let lines: Vec<_> = errors.lines().map(str::trim).collect();
    assert_eq!(lines[0], "the configuration has 7 errors");
    assert!(
        lines[1].starts_with(
            "cluster_prot (/etc/node.toml:1): no such key; did you mean `cluster_port`?"
        ),
        "{errors}"
    );
    assert!(
        lines[2].starts_with("EXPECTED_NODE_COUNT (/etc/node.toml:3): it is a float"),
        "{errors}"
    );
    assert!(
        lines[3].starts_with("CLUSTER_PORT is `x` (/etc/node.toml:2): "),
        "{errors}"
    );
    assert!(
        lines[4].starts_with("CLUSTER_TICK_TIME is `soon` (flag): "),
        "{errors}"
    );
    assert!(
        lines[5].starts_with("CLUSTER_NODE_BASENAME: it is not set, and CLUSTER_PEERS"),
        "{errors}"
    );
    assert!(
        lines[6].starts_with("CLUSTER_NODE_IP: it is not set"),
        "{errors}"
    );
    assert!(
        lines[7].starts_with("RELEASE_COOKIE (environment): 5 bytes are too short"),
        "{errors}"
    );
}

#[test]
fn a_bad_value_is_not_also_reported_as_missing() {
    let mut environment = clustered();
    environment.push(("CLUSTER_NODE_IP", "nowhere"));
    assert_eq!(errors(&environment).len(), 1);
    environment.push(("CLUSTER_DNS_QUERY", "a b"));
    assert_eq!(errors(&environment).len(), 2);
}

#[test]
fn a_basename_without_a_way_to_others_is_an_error() {
    let errors = errors(&[("CLUSTER_NODE_BASENAME", "lasso")]);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].contains("the node would run alone"), "{errors:?}");
}

#[test]
fn a_short_cookie_is_refused_outside_of_development_and_a_middling_one_warned_about() {
    let with = |cookie: &'static str, dev| {
        let mut environment = clustered();
        environment.push(("RELEASE_COOKIE", cookie));
        Loader::new().dev(dev).environment(environment).load()
    };
    assert!(with("fifteen-bytes-x", false).is_err());
    assert_eq!(with("fifteen-bytes-x", true).unwrap().warnings.len(), 1);
    assert_eq!(with("sixteen-bytes-xy", false).unwrap().warnings.len(), 1);
    assert_eq!(with(SECRET, false).unwrap().warnings.len(), 0);
}

#[test]
fn no_secret_is_ever_shown() {
    let secret = "swordfish-swordfish";
    let short = "swordfish";
    let mut environment = clustered();
    environment.push(("RELEASE_COOKIE", secret));
    environment.push(("RELEASE_COOKIE_PREVIOUS", secret));
    let loader = Loader::new().environment(environment.clone());
    assert!(!format!("{loader:?}").contains(short));
    let loaded = loader.load().unwrap();
    assert!(
        !format!(
            "{loaded:?} {:?}",
            loaded.config.node_config(Cookie::new(""))
        )
        .contains(short)
    );
    let row = loaded
        .rows
        .iter()
        .find(|row| row.name == "RELEASE_COOKIE")
        .unwrap();
    assert_eq!(row.value, "(19 bytes)");

    environment.push(("RELEASE_COOKIE", short));
    environment.push(("CLUSTER_COOKIE", short));
    let loader = Loader::new()
        .environment(environment)
        .text(
            Path::new("a"),
            &format!("release_cookie = {{ a = \"{short}\" }}\ncookie = \"{short}\""),
        )
        .text(Path::new("b"), &format!("release_cookie = \"{short}"))
        .flags([("RELEASE_COOKIE", short)]);
    let errors = loader.load().unwrap_err();
    assert!(!format!("{errors} {errors:?}").contains(short), "{errors}");
    let short_dev = Loader::new()
        .dev(true)
        .environment([("RELEASE_COOKIE", short), ("CLUSTER_KOOKIE", short)])
        .load()
        .unwrap();
    assert!(!format!("{short_dev:?}").contains(short));
}

#[test]
fn a_peer_of_another_basename_is_warned_about() {
    let mut config = load(&clustered()).unwrap().config;
    let ours = config.basename.clone().unwrap();
    let own = format!("{ours}@10.0.0.8").parse().unwrap();
    config.peers = vec![own, "other@10.0.0.9".parse().unwrap()];
    let warnings = config.validate().unwrap();
    assert_eq!(warnings.len(), 1);
    let text = warnings[0].to_string();
    assert!(
        text.starts_with("CLUSTER_PEERS: `other@10.0.0.9` has another basename"),
        "{text}"
    );
}

#[test]
fn a_directory_for_files_that_nobody_writes_is_warned_about() {
    let loaded = load(&[("LASSO_DATA_DIR", "/var/lib/lasso")]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(
        loaded.warnings[0].to_string(),
        "LASSO_DATA_DIR: nothing is kept in `/var/lib/lasso`: this release keeps no files"
    );
}

#[test]
fn an_unknown_variable_of_the_cluster_is_warned_about() {
    let loaded = load(&[("CLUSTER_DNS_QUERRY", "x"), ("PATH", "/bin")]).unwrap();
    assert_eq!(loaded.warnings.len(), 1);
    assert_eq!(
        loaded.warnings[0].to_string(),
        "CLUSTER_DNS_QUERRY: no such variable, it has no effect; did you mean `CLUSTER_DNS_QUERY`?"
    );
}

#[test]
fn queries_name_srv_records_and_other_basenames() {
    let mut environment = clustered();
    environment.push((
        "CLUSTER_DNS_QUERY",
        "lasso.internal, srv:_lasso._tcp.example ,other.internal=phoenix",
    ));
    let config = load(&environment).unwrap().config;
    let shown: Vec<_> = config
        .queries
        .iter()
        .map(|q| {
            (
                q.name.as_str(),
                q.srv,
                q.basename.as_ref().map(Basename::as_str),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("lasso.internal", false, None),
            ("_lasso._tcp.example", true, None),
            ("other.internal", false, Some("phoenix")),
        ]
    );
}

#[test]
fn lists_may_be_arrays_in_a_file() {
    let file = format!(
        "cluster_peers = [\"lasso@10.0.0.6\", \"lasso@[fdaa::3]:9000\"]\napp_role = [\"web\", \"ingestor\"]\n\
         cluster_node_basename = \"lasso\"\ncluster_node_ip = \"fdaa::2\"\nrelease_cookie = \"{SECRET}\"\n\
         cluster_metrics_enabled = false\n"
    );
    let config = Loader::new()
        .text(Path::new("x"), &file)
        .load()
        .unwrap()
        .config;
    assert_eq!(config.peers.len(), 2);
    assert_eq!(config.roles.len(), 2);
    assert!(!config.metrics_enabled);
    assert_eq!(config.listen_on().unwrap().to_string(), "[fdaa::2]:9155");
}

#[test]
fn links_and_http_may_not_share_a_port() {
    let mut environment = clustered();
    environment.extend([("CLUSTER_PORT", "4000"), ("HTTP_BIND", "0.0.0.0")]);
    assert!(errors(&environment)[0].starts_with("HTTP_PORT is `4000`"));
    environment.push(("HTTP_BIND", "127.0.0.1"));
    assert!(load(&environment).is_ok());
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_one_error_each() {
    let errors = Loader::new()
        .file(Path::new("/nowhere/at/all.toml"))
        .text(
            Path::new("bad.toml"),
            "cluster_name = \"x\"\n\ncluster_port = = 3\n",
        )
        .load()
        .unwrap_err();
    assert_eq!(errors.0.len(), 2);
    assert!(
        errors.0[1]
            .to_string()
            .starts_with("--config (bad.toml:3): it is not TOML"),
        "{errors}"
    );
}

#[test]
fn durations_read_back_as_they_are_written() {
    for (text, millis) in [
        ("500ms", 500),
        ("8s", 8_000),
        ("60s", 60_000),
        ("2m", 120_000),
        ("0s", 0),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        assert_eq!(show_duration(Duration::from_millis(millis)), text);
    }
    assert_eq!(duration("1h"), Ok(Duration::from_secs(3600)));
    for bad in [
        "",
        "8",
        "s",
        "1.5s",
        "-1s",
        "8 s",
        "8S",
        "8sec",
        "18446744073709551615h",
    ] {
        assert!(duration(bad).is_err(), "{bad}");
    }
}

#[test]
fn keygen_makes_a_new_secret_each_time_that_needs_no_warning() {
    let (one, other) = (keygen().unwrap(), keygen().unwrap());
    assert_ne!(one, other);
    assert_eq!(one.len(), 64);
    let mut environment = clustered();
    environment.push(("RELEASE_COOKIE", one.as_str()));
    assert!(load(&environment).unwrap().warnings.is_empty());
}

#[test]
fn the_core_is_told_what_was_configured() {
    let mut environment = clustered();
    environment.extend([
        ("CLUSTER_REGION", "iad"),
        ("CLUSTER_NODE_ID", "machine-7"),
        ("APP_ROLE", "web"),
        ("EXPECTED_NODE_COUNT", "3"),
        ("CLUSTER_NAME", "other"),
    ]);
    let node = load(&environment)
        .unwrap()
        .config
        .node_config(Cookie::new(""));
    assert_eq!(node.name.to_string(), "lasso@10.0.0.5");
    assert_eq!(node.description.region.as_str(), "iad");
    assert_eq!(node.description.id.as_str(), "machine-7");
    assert_eq!(node.expected_nodes, 3);
    assert_eq!(node.cluster.as_str(), "other");
    assert!(node.is_clustered());
}

#[test]
fn a_value_that_is_not_text_is_an_error_of_its_variable_alone() {
    let mut loader = Loader::new();
    loader.not_text("CLUSTER_NAME");
    loader.not_text("SOMETHING_ELSE");
    let errors = loader.load().unwrap_err();
    assert_eq!(errors.0.len(), 1);
    assert!(
        errors.0[0]
            .to_string()
            .starts_with("CLUSTER_NAME (environment): it is not UTF-8")
    );
}

#[test]
fn a_program_may_set_a_variable_by_its_text() {
    let mut config = Config::default();
    config.set("CLUSTER_TICK_TIME", "8s").unwrap();
    assert_eq!(config.settings.link.tick_time, Duration::from_secs(8));
    let before = format!("{config:?}");
    let error = config.set("CLUSTER_PORT", "none").unwrap_err().0[0].to_string();
    assert_eq!(
        error,
        "CLUSTER_PORT is `none` (program): it is not a port; accepted: 1 to 65535"
    );
    assert!(config.set("CLUSTER_PROT", "1").is_err());
    assert_eq!(format!("{config:?}"), before);
}

#[test]
fn addresses_at_which_nobody_can_be_are_refused_with_the_reason() {
    for (variable, value, reason) in [
        ("CLUSTER_NODE_IP", "0.0.0.0", "any address"),
        ("CLUSTER_NODE_IP", "255.255.255.255", "broadcast"),
        ("CLUSTER_NODE_IP", "fe80::1", "link-local"),
        ("CLUSTER_NODE_IP", "fe80::1%eth0", "zone"),
        ("CLUSTER_PEERS", "lasso@224.0.0.1", "multicast"),
        ("CLUSTER_PEERS", "lasso@::ffff:0.0.0.0", "any address"),
        ("CLUSTER_PEERS", "lasso@[fe80::1%2]:9155", "link-local"),
        ("CLUSTER_DNS_SERVER", "fe80::1", "zone"),
        ("CLUSTER_DNS_SERVER", "[fe80::1%2]:53", "zone"),
        ("CLUSTER_DNS_SERVER", "[fe80::1%eth0]:53", "zone"),
    ] {
        let error = Config::default().set(variable, value).unwrap_err();
        let error = error.0[0].to_string();
        assert!(error.contains(reason), "{value}: {error}");
    }
}

#[test]
fn what_a_program_filled_in_is_held_against_the_same_bounds() {
    let errors = |fill: &dyn Fn(&mut Config)| {
        let mut config = load(&clustered()).unwrap().config;
        fill(&mut config);
        let errors = config.validate().unwrap_err().0;
        errors
            .into_iter()
            .map(|error| error.variable)
            .collect::<Vec<_>>()
    };
    let many = || (0..33).map(|n| Label::new("role", &n.to_string()).unwrap());
    assert_eq!(
        errors(&|c| c.ip = Some([0, 0, 0, 0].into())),
        ["CLUSTER_NODE_IP"]
    );
    assert_eq!(errors(&|c| c.port = 0), ["CLUSTER_PORT"]);
    assert_eq!(errors(&|c| c.http_port = 0), ["HTTP_PORT"]);
    assert_eq!(errors(&|c| c.expected_nodes = 0), ["EXPECTED_NODE_COUNT"]);
    assert_eq!(errors(&|c| c.roles = many().collect()), ["APP_ROLE"]);
    assert_eq!(
        errors(&|c| c.settings.link.tick_time = Duration::ZERO),
        ["link.tick_time"]
    );
    assert_eq!(
        errors(&|c| c.peers = vec!["lasso@0.0.0.0".parse().unwrap()]),
        ["CLUSTER_PEERS"]
    );
    assert_eq!(
        errors(&|c| c.dns_server = Some("[fe80::1%2]:53".parse().unwrap())),
        ["CLUSTER_DNS_SERVER"]
    );
    assert_eq!(
        Config::default().set("APP_ROLE", " ").unwrap_err().0.len(),
        1
    );
}
