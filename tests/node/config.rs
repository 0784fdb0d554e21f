use crate::support::{COOKIE, node, output};

const EXIT_CONFIG: i32 = 78;

#[test]
fn the_effective_configuration_is_printed_with_its_origins_and_without_the_secret() {
    let mut command = node(&["--check-config", "--cluster-tick-time", "8s"]);
    command
        .env("CLUSTER_DNS_QUERY", "lasso.internal")
        .env("CLUSTER_NODE_BASENAME", "lasso")
        .env("CLUSTER_NODE_IP", "10.0.0.5")
        .env("CLUSTER_TICK_TIME", "9s")
        .env("RELEASE_COOKIE", COOKIE);
    let (status, out, err) = output(command);
    assert!(status.success(), "{err}");
    let row = |name: &str| {
        let line = out.lines().find(|line| line.starts_with(name));
        let words = line.unwrap_or_default().split_whitespace().skip(1);
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(row("CLUSTER_TICK_TIME"), ["8s", "flag"]);
    assert_eq!(row("CLUSTER_DNS_QUERY"), ["lasso.internal", "environment"]);
    assert_eq!(row("CLUSTER_PORT"), ["9155", "default"]);
    assert_eq!(row("RELEASE_COOKIE "), ["(33", "bytes)", "environment"]);
    assert!(!out.contains(COOKIE) && !err.contains(COOKIE));
}

#[test]
fn a_file_is_read_and_its_lines_are_named() {
    let name = format!("lasso-node-test-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let text = "cluster_region = \"iad\"\nhttp_port = 4001\nregoin = \"x\"\n";
    std::fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let (status, _, err) = output(node(&["--check-config", "--config", file]));
    assert_eq!(status.code(), Some(EXIT_CONFIG));
    assert!(err.contains(&format!("regoin ({file}:3)")), "{err}");
    std::fs::write(&path, &text[..text.find("regoin").unwrap()]).unwrap();
    let (status, out, err) = output(node(&["--check-config", "--config", file]));
    std::fs::remove_file(&path).unwrap();
    assert!(status.success(), "{err}");
    assert!(out.contains(&format!("{file}:2")), "{out}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once_with_exit_code_78() {
    let secret = "tooshort";
    for arguments in [&["--check-config"][..], &[]] {
        let mut command = node(arguments);
        command
            .env("CLUSTER_DNS_QUERY", "lasso.internal")
            .env("CLUSTER_NODE_IP", "10.0.0.300")
            .env("CLUSTER_TICK_TIME", "soon")
            .env("RELEASE_COOKIE", secret);
        let (status, out, err) = output(command);
        assert_eq!(status.code(), Some(EXIT_CONFIG), "{arguments:?}: {err}");
        assert!(out.is_empty(), "{out}");
        for part in [
            "4 errors",
            "CLUSTER_NODE_BASENAME",
            "10.0.0.300",
            "soon",
            "RELEASE_COOKIE",
        ] {
            assert!(err.contains(part), "no {part} in {err}");
        }
        assert!(!err.contains(secret), "{err}");
    }
}

#[test]
fn an_operators_key_that_no_one_else_may_have_is_refused_where_an_account_has_it() {
    let name = format!("lasso-node-test-keys-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    let text = "[[keys]]\nkey = \"acme-key-1\"\nprofile = \"p\"\naccount = \"acme\"\n\
        [profiles.p.chains.eth]\nproviders = [{ name = \"a\", simulated = {} }]\n";
    std::fs::write(&path, text).unwrap();
    let file = path.to_str().unwrap();
    let run = |arguments: &[&str], key: &str| {
        let mut command = node(&[arguments, &["--proxy-config", file]].concat());
        command.env("PROXY_OPERATOR_KEY", key);
        output(command)
    };
    let accepted = run(&["--check-config"], "the-operators");
    for arguments in [&["--check-config"][..], &[], &["--local", "3"]] {
        for (key, problem) in [("acme-key-1", "an account's key"), ("a\nb-c-d-e", "header")] {
            let (status, out, err) = run(arguments, key);
            assert_eq!(status.code(), Some(EXIT_CONFIG), "{arguments:?}: {err}");
            let line = err.lines().find(|line| line.contains("PROXY_OPERATOR_KEY"));
            assert!(line.unwrap_or_default().contains(problem), "{err}");
            assert!(!err.contains(key) && out.is_empty(), "{out}{err}");
        }
    }
    std::fs::remove_file(&path).unwrap();
    assert!(accepted.0.success(), "{}", accepted.2);
}

#[test]
fn a_new_secret_is_accepted_and_each_is_another() {
    let keygen = || output(node(&["keygen"])).1.trim().to_owned();
    let (one, other) = (keygen(), keygen());
    assert_ne!(one, other);
    assert_eq!(one.len(), 64);
    let mut command = node(&["--check-config"]);
    command.env("RELEASE_COOKIE", &one);
    let (status, out, err) = output(command);
    assert!(status.success() && err.is_empty(), "{err}");
    assert!(!out.contains(&one));
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused() {
    for arguments in [
        &["--local", "1"][..],
        &["--local", "65"],
        &["--script", "demo"],
        &["--local", "3", "--release-cookie", "x"],
        &["--local", "3", "--check-config"],
        &["--no-such-flag"],
    ] {
        let (status, _, err) = output(node(arguments));
        assert_eq!(status.code(), Some(2), "{arguments:?}: {err}");
    }
}
