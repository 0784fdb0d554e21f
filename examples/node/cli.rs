//! The command line: flags made from the table of variables, and a few of the program's own.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use lasso::config::{Loader, VARIABLES};

/// What is to be done.
pub(crate) enum Job {
    /// Print a new secret.
    Keygen,
    /// Answer DNS, to try out nodes that are started by hand.
    Dns(DnsOptions),
    /// Print the configuration as it would be used.
    CheckConfig(NodeOptions),
    /// Run one node.
    Node(NodeOptions),
    /// Run a cluster of processes on loopback.
    Local(LocalOptions),
}

/// What the DNS server is told on the command line.
pub(crate) struct DnsOptions {
    /// Where it answers.
    pub(crate) listen: SocketAddr,
    /// What it answers.
    pub(crate) names: Vec<(String, Vec<IpAddr>)>,
}

/// What one node is told on the command line.
pub(crate) struct NodeOptions {
    /// Variables given as flags.
    pub(crate) flags: Vec<(&'static str, String)>,
    /// The configuration file.
    pub(crate) file: Option<PathBuf>,
    /// The proxy's configuration file; over `PROXY_CONFIG`.
    pub(crate) proxy: Option<PathBuf>,
    /// A short secret is accepted.
    pub(crate) dev: bool,
    /// Logs as JSON, one object per line.
    pub(crate) json: bool,
    /// A parent started this process: it reads reports from standard output, and holds standard
    /// input open for as long as the node is to run.
    pub(crate) child: bool,
}

impl NodeOptions {
    /// The layers of the configuration, flags over environment over file.
    pub(crate) fn loader(&self) -> Loader {
        let loader = Loader::new()
            .dev(self.dev)
            .flags(self.flags.iter().cloned())
            .process_environment();
        match &self.file {
            Some(path) => loader.file(path),
            None => loader,
        }
    }
}

/// What a local cluster is told on the command line.
pub(crate) struct LocalOptions {
    /// How many nodes.
    pub(crate) count: u8,
    /// What happens to them.
    pub(crate) script: Script,
    /// The first node's address; the others follow.
    pub(crate) base: Ipv4Addr,
    /// Variables for every node.
    pub(crate) variables: Vec<(&'static str, String)>,
    /// The proxy's configuration file, for every node.
    pub(crate) proxy: Option<PathBuf>,
    /// Change a table in place instead of printing lines.
    pub(crate) table: bool,
}

/// What happens to a local cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Script {
    /// Nothing, until Ctrl-C.
    Watch,
    /// A node is killed and comes back.
    Demo,
    /// How fast, and how much memory.
    Measure,
}

/// What `--local` decides for each node itself.
pub(crate) const DECIDED: [&str; 11] = [
    "CLUSTER_DNS_QUERY",
    "CLUSTER_PEERS",
    "CLUSTER_NODE_IP",
    "CLUSTER_BIND",
    "CLUSTER_DNS_SERVER",
    "CLUSTER_NODE_ID",
    "EXPECTED_NODE_COUNT",
    "RELEASE_COOKIE",
    "RELEASE_COOKIE_PREVIOUS",
    "HTTP_BIND",
    "LASSO_DATA_DIR",
];

/// Reads the command line; prints help, version or what is wrong with it, and ends the process, where
/// that is the answer.
pub(crate) fn parse() -> Job {
    job(&command().get_matches())
}

fn command() -> Command {
    let switch = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .help(help)
            .action(ArgAction::SetTrue)
    };
    let variables = VARIABLES.iter().map(|variable| {
        let mut help = variable.help.to_owned();
        if !variable.default.is_empty() {
            help += &format!(" [default: {}]", variable.default);
        }
        Arg::new(variable.name)
            .long(variable.flag())
            .value_name("VALUE")
            .help(format!("{help} [env: {}]", variable.name))
            .help_heading("Configuration")
            .allow_hyphen_values(true)
    });
    Command::new("node")
        .about("A node of a lasso cluster, or with --local a whole cluster on this machine")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand(Command::new("keygen").about("Prints a new secret for RELEASE_COOKIE"))
        .subcommand(dns_command())
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("TOML file with the variables' names in lower case as keys")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("proxy-config")
                .long("proxy-config")
                .value_name("FILE")
                .help("TOML file of the proxy; without one, its providers are simulated [env: PROXY_CONFIG]")
                .value_parser(value_parser!(PathBuf)),
        )
        .after_help(
            "PROXY_OPERATOR_KEY in the environment is the proxy's key for /api and /events of every \
             profile, where its file has none; without any key /api asks for none, and /events is \
             open to nobody",
        )
        .arg(switch(
            "check-config",
            "Print the effective configuration, or everything that is wrong with it, and stop",
        ))
        .arg(switch("dev", "Accept a secret of fewer than 16 bytes"))
        .arg(
            Arg::new("log-format")
                .long("log-format")
                .help("How log lines look on standard error; RUST_LOG says which there are")
                .value_parser(PossibleValuesParser::new(["text", "json"]))
                .default_value("text"),
        )
        .arg(switch("child", "Report to a parent process").hide(true))
        .args(local_arguments())
        .args(variables)
}

fn dns_command() -> Command {
    Command::new("dns")
        .about("Answers DNS for a few names, to try out nodes that are started by hand")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("IP:PORT")
                .help("Where to answer, over UDP and TCP")
                .value_parser(value_parser!(SocketAddr))
                .default_value("127.0.0.1:5300"),
        )
        .arg(
            Arg::new("names")
                .value_name("NAME=IP,IP,…")
                .help("A name and its addresses")
                .value_parser(addresses)
                .num_args(1..)
                .required(true),
        )
}

/// Reads `name=ip,ip`.
fn addresses(text: &str) -> Result<(String, Vec<IpAddr>), String> {
    let (name, list) = text
        .split_once('=')
        .ok_or("accepted: `lasso.internal=127.0.0.1,127.0.0.2`")?;
    let read = |ip: &str| ip.parse().map_err(|_| format!("`{ip}` is no address"));
    let list: Result<Vec<IpAddr>, String> = list.split(',').map(read).collect();
    Ok((name.to_owned(), list?))
}

/// What belongs to `--local`.
fn local_arguments() -> [Arg; 3] {
    let local = "Local cluster";
    [
        Arg::new("local")
            .long("local")
            .value_name("N")
            .help("Start N nodes on 127.0.0.1, 127.0.0.2, … and show how they see each other")
            .value_parser(value_parser!(u8).range(2..=64))
            .conflicts_with_all(["config", "check-config", "child"])
            .conflicts_with_all(DECIDED)
            .help_heading(local),
        Arg::new("script")
            .long("script")
            .help("demo: kill a node and bring it back; measure: formation, memory, kills")
            .value_parser(PossibleValuesParser::new(["demo", "measure"]))
            .requires("local")
            .help_heading(local),
        Arg::new("local-base")
            .long("local-base")
            .value_name("IP")
            .help("Address of the first node; the others follow")
            .value_parser(value_parser!(Ipv4Addr))
            .default_value("127.0.0.1")
            .requires("local")
            .help_heading(local),
    ]
}

fn job(matches: &ArgMatches) -> Job {
    match matches.subcommand() {
        Some(("keygen", _)) => return Job::Keygen,
        Some(("dns", dns)) => {
            return Job::Dns(DnsOptions {
                listen: *dns.get_one("listen").expect("an argument with a default"),
                names: dns
                    .get_many("names")
                    .into_iter()
                    .flatten()
                    .cloned()
                    .collect(),
            });
        }
        _ => {}
    }
    let flags: Vec<(&'static str, String)> = VARIABLES
        .iter()
        .filter_map(|variable| {
            let value = matches.get_one::<String>(variable.name)?;
            Some((variable.name, value.clone()))
        })
        .collect();
    if let Some(count) = matches.get_one::<u8>("local") {
        let script = match matches.get_one::<String>("script").map(String::as_str) {
            Some("demo") => Script::Demo,
            Some("measure") => Script::Measure,
            _ => Script::Watch,
        };
        return Job::Local(LocalOptions {
            count: *count,
            script,
            base: *matches
                .get_one("local-base")
                .expect("an argument with a default"),
            variables: flags,
            proxy: matches.get_one("proxy-config").cloned(),
            table: io::stdout().is_terminal(),
        });
    }
    let node = NodeOptions {
        flags,
        file: matches.get_one("config").cloned(),
        proxy: matches.get_one("proxy-config").cloned(),
        dev: matches.get_flag("dev"),
        json: matches.get_one::<String>("log-format").map(String::as_str) == Some("json"),
        child: matches.get_flag("child"),
    };
    if matches.get_flag("check-config") {
        Job::CheckConfig(node)
    } else {
        Job::Node(node)
    }
}
