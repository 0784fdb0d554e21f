//! What the proxy is told: profiles, chains, providers, keys and bounds.
//!
//! From a TOML file, `PROXY_CONFIG` or `--proxy-config`, and built in where there is none: two profiles
//! of simulated providers. `PROXY_OPERATOR_KEY` is the operator's key wherever the file has none.
//! Everything that is wrong with a file that could be read is told at once, each with its place.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use axum::http::Uri;
use lasso::Label;
use lasso::Segment;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::breaker::BreakerSettings;
use super::door::DoorSettings;
use super::file;
use super::simulated::{Chain, Traits};
use super::strategy::Strategy;

/// Everything that the proxy is told.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// What simulated providers and strategies draw from, together with the node's name.
    pub(crate) seed: u64,
    /// Who bears it may see every profile.
    pub(crate) operator_key: Option<Secret>,
    /// Whose requests bear which key.
    pub(crate) keys: HashMap<Secret, Account>,
    /// The profiles, by name.
    pub(crate) profiles: BTreeMap<Segment, Profile>,
    /// How much of everything there may be.
    pub(crate) limits: Limits,
    /// When circuits open and close.
    pub(crate) breaker: BreakerSettings,
    /// Which pages may use the node, and under which names it is asked for.
    pub(crate) door: DoorSettings,
    /// Between two looks at every provider's newest block.
    pub(crate) height_interval: Duration,
}

/// A customer within a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// The profile.
    pub(crate) profile: Segment,
    /// The account.
    pub(crate) account: Segment,
}

/// How requests of one tenant are routed.
#[derive(Debug, Clone)]
pub(crate) struct Profile {
    /// How providers are chosen.
    pub(crate) strategy: Strategy,
    /// The share of plain successes that is published, in millionths; `None`: as lasso has it.
    pub(crate) sampling_ppm: Option<u32>,
    /// The chains, by name.
    pub(crate) chains: BTreeMap<Segment, ChainSettings>,
}

/// One chain of a profile.
#[derive(Debug, Clone)]
pub(crate) struct ChainSettings {
    /// Its number and its pace.
    pub(crate) chain: Chain,
    /// Providers that are further behind come last.
    pub(crate) lag_max: u64,
    /// Its providers, by priority; at least one.
    pub(crate) providers: Vec<ProviderSettings>,
}

/// One provider of a chain.
#[derive(Debug, Clone)]
pub(crate) struct ProviderSettings {
    /// Its name.
    pub(crate) name: Label,
    /// Where it is.
    pub(crate) source: Source,
}

/// Where a provider is.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// At a URL.
    Upstream(Url),
    /// In this process.
    Simulated {
        /// What it is like,
        traits: Traits,
        /// and what it is like from some regions.
        regions: BTreeMap<String, Traits>,
    },
}

/// How much of everything there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Largest body of a request, 256 KiB. Higher: more memory, this times `in_flight`.
    pub(crate) body_bytes: usize,
    /// Largest answer of a provider, 2 MiB. Higher: more memory, this times `in_flight`.
    pub(crate) answer_bytes: usize,
    /// Longest batch, 100. Higher: one client takes more of its places at once.
    pub(crate) batch: usize,
    /// Requests under way, 1,024, each of a batch counted. Higher: more memory under load.
    pub(crate) in_flight: usize,
    /// Of these, requests of one account, or of all without one, of one profile: 512. Higher: one
    /// account can take more from the others.
    pub(crate) in_flight_per_account: usize,
    /// HTTP connections, 1,024. Higher: more memory for idle clients.
    pub(crate) connections: usize,
    /// Viewers of `/events`, 64, of which one in eight is kept for the operator, where there is one.
    /// Higher: more connections that stay.
    pub(crate) viewers: usize,
    /// Of these, viewers of one account: a quarter. Higher: one account can keep more of the others out.
    pub(crate) viewers_per_account: usize,
    /// Providers that one request is tried at, 3. Higher: more load where everything fails.
    pub(crate) tries: usize,
    /// For one try, 3 s. Higher: a provider that hangs holds requests for longer.
    pub(crate) try_timeout: Duration,
    /// For one request with all its tries, 8 s.
    pub(crate) timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            body_bytes: 256 << 10,
            answer_bytes: 2 << 20,
            batch: 100,
            in_flight: 1_024,
            in_flight_per_account: 512,
            connections: 1_024,
            viewers: 64,
            viewers_per_account: 16,
            tries: 3,
            try_timeout: Duration::from_secs(3),
            timeout: Duration::from_secs(8),
        }
    }
}

/// A key, which is never shown. Only its hash is kept, so that two of any lengths are compared in the same
/// time; it is overwritten when this is dropped.
#[derive(Clone)]
pub(crate) struct Secret {
    hash: Box<Zeroizing<[u8; 32]>>,
    bytes: usize,
}

impl Secret {
    /// Takes a key.
    pub(crate) fn new(text: &str) -> Self {
        let mut hash = Box::new(Zeroizing::new([0; 32]));
        hash[..].copy_from_slice(&Sha256::digest(text));
        let bytes = text.len();
        Secret { hash, bytes }
    }

    /// Takes a key that somebody has chosen.
    ///
    /// # Errors
    /// What is wrong with it, without the key.
    pub(crate) fn chosen(text: &str) -> Result<Self, String> {
        let secret = Secret::new(text);
        if !(KEY_MIN..=KEY_MAX).contains(&text.len()) {
            return Err(format!(
                "{secret:?} is out of range; accepted: {KEY_MIN} to {KEY_MAX} bytes"
            ));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            let problem = "it has what no header can carry; accepted: letters, digits and signs \
                of ASCII, no spaces";
            return Err(problem.into());
        }
        Ok(secret)
    }

    /// True when `text` is this key, found out in a time that tells nothing of it, its length included.
    pub(crate) fn is(&self, text: &str) -> bool {
        *self == Secret::new(text)
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.hash[..].ct_eq(&other.hash[..]).into()
    }
}

impl Eq for Secret {}

impl Hash for Secret {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash[..].hash(state);
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.bytes)
    }
}

/// Where a provider answers. Providers have keys in their paths, so that only the host is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url(pub(crate) Uri);

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}/…", self.0.host().unwrap_or_default())
    }
}

/// One thing that is wrong with the proxy's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The line of the file.
    pub(crate) line: usize,
    /// The key, as `profiles.default.chains.eth`; empty for what is no TOML.
    pub(crate) place: String,
    /// What is wrong, and what would be accepted.
    pub(crate) problem: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wrong {
            line,
            place,
            problem,
        } = self;
        match place.as_str() {
            "" => write!(f, "line {line}: {problem}"),
            _ => write!(f, "line {line}, {place}: {problem}"),
        }
    }
}

impl Settings {
    /// What a node does that is told nothing: two profiles, each with two chains, of simulated
    /// providers.
    pub(crate) fn built_in() -> Self {
        Settings::read(BUILT_IN).expect("the built-in configuration is accepted by a test")
    }

    /// Reads a TOML text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, Vec<Wrong>> {
        file::read(text)
    }
}

/// Shortest key: one that is shorter can be guessed.
const KEY_MIN: usize = 8;
/// Longest key, so that a header has room for it.
const KEY_MAX: usize = 256;

/// The configuration of a node that is told nothing.
pub(crate) const BUILT_IN: &str = include_str!("built_in.toml");

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        let wrong = Settings::read(text).expect_err("it is wrong");
        let shown = |one: Wrong| format!("{} {}", one.line, one.place);
        wrong.into_iter().map(shown).collect()
    }

    #[test]
    fn the_built_in_configuration_is_accepted() {
        let settings = Settings::built_in();
        assert_eq!(settings.profiles.len(), 2);
        assert_eq!(settings.limits, Limits::default());
        assert!(settings.keys.is_empty() && settings.operator_key.is_none());
        for profile in settings.profiles.values() {
            assert!(
                profile
                    .chains
                    .values()
                    .all(|chain| chain.providers.len() >= 3)
            );
        }
    }

    #[test]
    fn every_key_is_read() {
        let settings = Settings::read(
            r#"
            seed = 9
            operator_key = "operator-operator"
            height_interval = "1s"
            [limits]
            batch = 5
            timeout = "2s"
            try_timeout = "1s"
            [breaker]
            failures = 2
            [web]
            hosts = ["RPC.example.org"]
            origins = ["https://app.example.org"]
            [[keys]]
            key = "acme-acme-acme-acme"
            profile = "premium"
            account = "acme"
            [profiles.premium]
            strategy = "priority"
            sampling = 0.2
            [profiles.premium.chains.eth]
            chain_id = 5
            block_time = "2s"
            [[profiles.premium.chains.eth.providers]]
            name = "own"
            url = "http://10.0.0.9:8545/v1"
            [[profiles.premium.chains.eth.providers]]
            name = "other"
            simulated = { latency = "20ms", jitter = 0.0, regions = { sjc = { error_rate = 1.0 } } }
            "#,
        )
        .unwrap();
        assert_eq!(
            (
                settings.seed,
                settings.limits.batch,
                settings.breaker.failures
            ),
            (9, 5, 2)
        );
        assert_eq!(settings.door.hosts, ["rpc.example.org"]);
        assert_eq!(settings.door.origins, ["https://app.example.org"]);
        assert!(settings.operator_key.unwrap().is("operator-operator"));
        let account = &settings.keys[&Secret::new("acme-acme-acme-acme")];
        assert_eq!(account.account.as_str(), "acme");
        let shown = format!("{:?} {:?}", settings.profiles, settings.keys);
        assert!(
            !shown.contains("/v1") && !shown.contains("acme-acme"),
            "{shown}"
        );
        let (_, profile) = settings.profiles.first_key_value().unwrap();
        assert_eq!(
            (profile.strategy, profile.sampling_ppm),
            (Strategy::Priority, Some(200_000))
        );
        let (_, chain) = profile.chains.first_key_value().unwrap();
        assert_eq!((chain.chain.id, chain.chain.block_time.as_secs()), (5, 2));
        assert!(
            matches!(&chain.providers[0].source, Source::Upstream(Url(url)) if url.port_u16() == Some(8545))
        );
        let Source::Simulated { traits, regions } = &chain.providers[1].source else {
            panic!("it is simulated");
        };
        assert_eq!((traits.error_rate, traits.latency.as_millis()), (0.0, 20));
        assert_eq!(
            (
                regions["sjc"].error_rate,
                regions["sjc"].latency.as_millis()
            ),
            (1.0, 20)
        );
    }

    /// A file with a mistake in nearly every line.
    const WRONG: &str = r#"operator_key = "short"
            height_interval = "5"
            [limits]
            batch = 20
            in_flight = 10
            tries = 0
            try_timeout = "9s"
            viewrs = 3
            [web]
            hosts = ["a b", 5]
            origins = "https://app.example.org/page"
            [[keys]]
            key = "a-key-that-is-secret"
            profile = "nobody"
            account = "a:b"
            [[keys]]
            key = 5
            [profiles."a:b"]
            [profiles.p]
            sampling = 0.0
            strategy = "fast"
            [profiles.p.chains.none]
            chain_id = -1
            [profiles.p.chains.eth]
            lag_max = "a-key-that-is-secret"
            providers = [
              { name = "https", url = "https://example.org" },
              { name = "both", url = "http://example.org", simulated = {} },
              { name = "both", simulated = { error_rate = 2.0, latencies = "1s" } },
              7,
            ]
            "#;

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_line_and_no_key_is_shown() {
        let expected = [
            "1 operator_key",
            "2 height_interval",
            "3 limits.in_flight_per_account",
            "6 limits.tries",
            "7 limits.try_timeout",
            "8 limits.viewrs",
            "10 web.hosts.0",
            "10 web.hosts.1",
            "11 web.origins",
            "14 keys.0.profile",
            "15 keys.0.account",
            "16 keys.1.profile",
            "16 keys.1.account",
            "17 keys.1.key",
            "18 profiles.a:b.chains",
            "18 profiles.a:b",
            "20 profiles.p.sampling",
            "21 profiles.p.strategy",
            "22 profiles.p.chains.none.providers",
            "23 profiles.p.chains.none.chain_id",
            "25 profiles.p.chains.eth.lag_max",
            "27 profiles.p.chains.eth.providers.0.url",
            "28 profiles.p.chains.eth.providers.1",
            "29 profiles.p.chains.eth.providers.2.name",
            "29 profiles.p.chains.eth.providers.2.simulated.error_rate",
            "29 profiles.p.chains.eth.providers.2.simulated.latencies",
            "30 profiles.p.chains.eth.providers.3",
        ];
        assert_eq!(wrong(WRONG), expected);
        let all = Settings::read(WRONG).unwrap_err();
        let shown: Vec<String> = all.iter().map(ToString::to_string).collect();
        for line in [
            "line 6, limits.tries: `0` is out of range; accepted: 1 to 100",
            "line 17, keys.1.key: it is a whole number; accepted: a text in quotes",
        ] {
            assert!(
                shown.iter().any(|one| one == line),
                "no `{line}`: {shown:?}"
            );
        }
        let unknown = shown.iter().find(|one| one.starts_with("line 8,")).unwrap();
        assert!(
            unknown.contains("`viewers`, `viewers_per_account`"),
            "{unknown}"
        );
        let shown = shown.concat();
        assert!(
            !shown.contains("a-key-that-is-secret") && !shown.contains("short"),
            "{shown}"
        );
    }

    #[test]
    fn what_is_no_toml_is_named_by_its_line() {
        assert_eq!(wrong("seed = 1\nseed = [")[0], "2 ");
        assert_eq!(wrong("seed = 1\nprofiles = 2"), ["2 profiles"]);
        assert_eq!(wrong("seed = 1\nprofils = 2"), ["1 profiles", "2 profils"]);
        assert_eq!(wrong(""), ["1 profiles"]);
    }

    #[test]
    fn a_profile_without_chains_and_a_chain_without_providers_are_refused() {
        assert_eq!(wrong("[profiles]"), ["1 profiles"]);
        assert_eq!(wrong("[profiles.p]"), ["1 profiles.p.chains"]);
        assert_eq!(wrong("[profiles.p.chains]"), ["1 profiles.p.chains"]);
        let place = ["1 profiles.p.chains.eth.providers"];
        assert_eq!(wrong("[profiles.p.chains.eth]"), place);
        assert_eq!(wrong("[profiles.p.chains.eth]\nproviders = []").len(), 1);
    }

    #[test]
    fn names_that_no_path_and_keys_that_no_header_can_carry_are_refused() {
        let chain = "providers = [{ name = \"a\", simulated = {} }]";
        let of = |name: &str| format!("[profiles.\"{name}\".chains.\"{name}\"]\n{chain}");
        assert!(Settings::read(&of("base-2_x~y")).is_ok());
        for name in ["a/b", "a b", "ü", "a%2F", "a?", "..", "."] {
            let place = format!("1 profiles.{name}");
            let chains = format!("{place}.chains.{name}");
            assert_eq!(wrong(&of(name)), [chains, place]);
        }
        for key in [
            "key\\nof-acme",
            "schlüssel-1",
            "the key of acme",
            " a-key-of-acme",
        ] {
            let text = format!("operator_key = \"{key}\"\n{}", of("p"));
            assert_eq!(wrong(&text), ["1 operator_key"]);
        }
    }

    #[test]
    fn no_provider_has_the_name_that_events_give_to_none() {
        let chain = "[profiles.p.chains.eth]\nproviders = [{ name = \"none\", simulated = {} }]";
        assert_eq!(wrong(chain), ["2 profiles.p.chains.eth.providers.0.name"]);
    }

    #[test]
    fn a_profile_has_no_more_chains_than_viewers_can_be_shown() {
        let chain = |number| {
            format!(
                "[profiles.p.chains.c{number}]\nproviders = [{{ name = \"a\", simulated = {{}} }}]\n"
            )
        };
        let chains = |number: u32| (0..number).map(chain).collect::<String>();
        assert!(Settings::read(&chains(64)).is_ok());
        assert_eq!(wrong(&chains(65)), ["1 profiles.p.chains"]);
    }

    #[test]
    fn a_secret_shows_its_length_and_is_itself_only() {
        let secret = Secret::new("four");
        assert_eq!(format!("{secret:?}"), "(4 bytes)");
        assert!(secret.is("four") && !secret.is("fouR") && !secret.is("fou"));
    }
}
