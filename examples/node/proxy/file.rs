//! The proxy's TOML file: its keys, and how they become settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use lasso::Label;
use lasso::Segment;
use lasso::config::duration;
use serde::Deserialize;

use super::breaker::BreakerSettings;
use super::settings::{
    Account, ChainSettings, Limits, Profile, ProviderSettings, Secret, Settings, Source, Url, Wrong,
};
use super::simulated::{Chain, Traits};
use super::strategy::Strategy;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seed: Option<u64>,
    operator_key: Option<String>,
    height_interval: Option<String>,
    #[serde(default)]
    limits: LimitKeys,
    #[serde(default)]
    breaker: BreakerKeys,
    #[serde(default)]
    keys: Vec<KeyKeys>,
    #[serde(default)]
    profiles: BTreeMap<String, ProfileKeys>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitKeys {
    body_bytes: Option<usize>,
    answer_bytes: Option<usize>,
    batch: Option<usize>,
    in_flight: Option<usize>,
    in_flight_per_account: Option<usize>,
    connections: Option<usize>,
    viewers: Option<usize>,
    tries: Option<usize>,
    try_timeout: Option<String>,
    timeout: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BreakerKeys {
    failures: Option<u32>,
    open_for: Option<String>,
    open_for_max: Option<String>,
    successes: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyKeys {
    key: String,
    profile: String,
    account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileKeys {
    #[serde(default)]
    strategy: Strategy,
    sampling: Option<f64>,
    #[serde(default)]
    chains: BTreeMap<String, ChainKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainKeys {
    chain_id: Option<u64>,
    block_time: Option<String>,
    lag_max: Option<u64>,
    #[serde(default)]
    providers: Vec<ProviderKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProviderKeys {
    name: String,
    url: Option<String>,
    simulated: Option<SimulatedKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SimulatedKeys {
    latency: Option<String>,
    jitter: Option<f64>,
    error_rate: Option<f64>,
    rate_limit: Option<u32>,
    lag: Option<u64>,
    #[serde(default)]
    regions: BTreeMap<String, TraitKeys>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TraitKeys {
    latency: Option<String>,
    jitter: Option<f64>,
    error_rate: Option<f64>,
    rate_limit: Option<u32>,
    lag: Option<u64>,
}

/// Reads the text of a file.
pub(super) fn read(text: &str) -> Result<Settings, Vec<Wrong>> {
    let file: File = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start);
        let line = 1 + text
            .bytes()
            .take(before)
            .filter(|byte| *byte == b'\n')
            .count();
        // Only the error's message: the error as a whole shows the line, and there may be a key in it.
        vec![Wrong {
            place: format!("line {line}"),
            problem: error.message().to_owned(),
        }]
    })?;
    let mut reader = Reader { wrong: Vec::new() };
    let settings = reader.settings(file);
    if reader.wrong.is_empty() {
        Ok(settings)
    } else {
        Err(reader.wrong)
    }
}

/// Collects what is wrong, and goes on with something else in its place.
struct Reader {
    wrong: Vec<Wrong>,
}

impl Reader {
    fn refuse(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        self.wrong.push(Wrong {
            place: place.into(),
            problem: problem.into(),
        });
    }

    fn settings(&mut self, file: File) -> Settings {
        let operator_key = file
            .operator_key
            .and_then(|key| self.secret("operator_key", key));
        let height_interval = self.time("height_interval", file.height_interval, DEFAULT_INTERVAL);
        let limits = self.limits(file.limits);
        let breaker = self.breaker(file.breaker);
        if file.profiles.is_empty() {
            self.refuse(
                "profiles",
                "there is none; accepted: at least one profile with a chain",
            );
        }
        let mut profiles = BTreeMap::new();
        for (name, keys) in file.profiles {
            let place = format!("profiles.{name}");
            let profile = self.profile(&place, keys);
            if let Some(name) = self.segment(&place, &name) {
                profiles.insert(name, profile);
            }
        }
        let mut keys = HashMap::new();
        for (number, key) in file.keys.into_iter().enumerate() {
            let place = format!("keys.{number}");
            let account = self.segment(&format!("{place}.account"), &key.account);
            let profile = self.segment(&format!("{place}.profile"), &key.profile);
            let known = profile.filter(|profile| profiles.contains_key(profile));
            if known.is_none() {
                self.refuse(format!("{place}.profile"), "there is no such profile");
            }
            let secret = self.secret(&format!("{place}.key"), key.key);
            let (Some(profile), Some(account), Some(secret)) = (known, account, secret) else {
                continue;
            };
            let is_operators = operator_key.as_ref() == Some(&secret);
            if keys.insert(secret, Account { profile, account }).is_some() || is_operators {
                self.refuse(format!("{place}.key"), "it is another's key already");
            }
        }
        Settings {
            seed: file.seed.unwrap_or(1),
            operator_key,
            keys,
            profiles,
            limits,
            breaker,
            height_interval,
        }
    }

    fn limits(&mut self, keys: LimitKeys) -> Limits {
        let usual = Limits::default();
        let mut number =
            |name: &str, given: Option<usize>, usual: usize, least: usize, most: usize| {
                let value = given.unwrap_or(usual);
                if !(least..=most).contains(&value) {
                    let problem = format!("`{value}` is out of range; accepted: {least} to {most}");
                    self.refuse(format!("limits.{name}"), problem);
                }
                value
            };
        let in_flight = keys.in_flight.unwrap_or(usual.in_flight);
        let share = usual.in_flight_per_account.min(in_flight);
        let limits = Limits {
            body_bytes: number("body_bytes", keys.body_bytes, usual.body_bytes, 1, 16 << 20),
            answer_bytes: number(
                "answer_bytes",
                keys.answer_bytes,
                usual.answer_bytes,
                1,
                64 << 20,
            ),
            batch: number("batch", keys.batch, usual.batch, 1, 10_000),
            in_flight: number("in_flight", keys.in_flight, usual.in_flight, 1, 100_000),
            in_flight_per_account: number(
                "in_flight_per_account",
                keys.in_flight_per_account,
                share,
                1,
                in_flight.max(1),
            ),
            connections: number(
                "connections",
                keys.connections,
                usual.connections,
                2,
                100_000,
            ),
            viewers: number("viewers", keys.viewers, usual.viewers, 1, 10_000),
            tries: number("tries", keys.tries, usual.tries, 1, 100),
            try_timeout: Duration::ZERO,
            timeout: Duration::ZERO,
        };
        if limits.batch > limits.in_flight_per_account {
            let problem = "a batch of `limits.batch` would never find room";
            self.refuse("limits.in_flight_per_account", problem);
        }
        if limits.viewers >= limits.connections {
            self.refuse("limits.viewers", "it has to be below `limits.connections`");
        }
        let timeout = self.time("limits.timeout", keys.timeout, usual.timeout);
        let try_timeout = self.time("limits.try_timeout", keys.try_timeout, usual.try_timeout);
        if try_timeout > timeout {
            self.refuse("limits.try_timeout", "it is above `limits.timeout`");
        }
        Limits {
            try_timeout,
            timeout,
            ..limits
        }
    }

    fn breaker(&mut self, keys: BreakerKeys) -> BreakerSettings {
        let usual = BreakerSettings::default();
        let open_for = self.time("breaker.open_for", keys.open_for, usual.open_for);
        let most = usual.open_for_max.max(open_for);
        let settings = BreakerSettings {
            failures: keys.failures.unwrap_or(usual.failures),
            open_for,
            open_for_max: self.time("breaker.open_for_max", keys.open_for_max, most),
            successes: keys.successes.unwrap_or(usual.successes),
        };
        if settings.failures == 0 || settings.successes == 0 {
            self.refuse(
                "breaker",
                "`failures` and `successes` have to be at least 1",
            );
        }
        if settings.open_for_max < settings.open_for {
            self.refuse("breaker.open_for_max", "it is below `breaker.open_for`");
        }
        settings
    }

    fn profile(&mut self, place: &str, keys: ProfileKeys) -> Profile {
        let sampling_ppm = keys.sampling.map(|share| {
            let ppm = share * 1e6;
            if !(1.0..=1e6).contains(&ppm) {
                let problem = format!("`{share}` is out of range; accepted: 0.000001 to 1.0");
                self.refuse(format!("{place}.sampling"), problem);
            }
            ppm.round() as u32
        });
        let mut chains = BTreeMap::new();
        for (name, keys) in keys.chains {
            let place = format!("{place}.chains.{name}");
            let chain = self.chain(&place, keys);
            if let Some(name) = self.segment(&place, &name) {
                chains.insert(name, chain);
            }
        }
        Profile {
            strategy: keys.strategy,
            sampling_ppm,
            chains,
        }
    }

    fn chain(&mut self, place: &str, keys: ChainKeys) -> ChainSettings {
        let block_time = format!("{place}.block_time");
        let chain = Chain {
            id: keys.chain_id.unwrap_or(1),
            block_time: self.time(&block_time, keys.block_time, Duration::from_secs(12)),
        };
        if keys.providers.is_empty() {
            self.refuse(
                format!("{place}.providers"),
                "there is none; accepted: at least one",
            );
        }
        let mut names = BTreeSet::new();
        let mut providers = Vec::new();
        for (number, keys) in keys.providers.into_iter().enumerate() {
            let place = format!("{place}.providers.{number}");
            let name = keys.name.clone();
            providers.extend(self.provider(&place, keys));
            if !names.insert(name) {
                self.refuse(
                    format!("{place}.name"),
                    "there is a provider of that name already",
                );
            }
        }
        ChainSettings {
            chain,
            lag_max: keys.lag_max.unwrap_or(5),
            providers,
        }
    }

    fn provider(&mut self, place: &str, keys: ProviderKeys) -> Option<ProviderSettings> {
        let source = match (keys.url, keys.simulated) {
            (Some(url), None) => Source::Upstream(Url(self.url(&format!("{place}.url"), &url)?)),
            (None, Some(simulated)) => {
                let place = format!("{place}.simulated");
                let everywhere = TraitKeys {
                    latency: simulated.latency,
                    jitter: simulated.jitter,
                    error_rate: simulated.error_rate,
                    rate_limit: simulated.rate_limit,
                    lag: simulated.lag,
                };
                let traits = self.traits(&place, everywhere, &USUAL);
                let regions = simulated.regions.into_iter().map(|(region, keys)| {
                    let place = format!("{place}.regions.{region}");
                    (region, self.traits(&place, keys, &traits))
                });
                Source::Simulated {
                    regions: regions.collect(),
                    traits,
                }
            }
            _ => {
                self.refuse(place, "accepted: either `url` or `simulated`");
                return None;
            }
        };
        match Label::new("provider", &keys.name) {
            Ok(name) => Some(ProviderSettings { name, source }),
            Err(error) => {
                self.refuse(format!("{place}.name"), error.to_string());
                None
            }
        }
    }

    fn traits(&mut self, place: &str, keys: TraitKeys, usual: &Traits) -> Traits {
        let jitter = keys.jitter.unwrap_or(usual.jitter);
        let error_rate = keys.error_rate.unwrap_or(usual.error_rate);
        for (name, value) in [("jitter", jitter), ("error_rate", error_rate)] {
            if !(0.0..=1.0).contains(&value) {
                let problem = format!("`{value}` is out of range; accepted: 0.0 to 1.0");
                self.refuse(format!("{place}.{name}"), problem);
            }
        }
        Traits {
            latency: self.time(&format!("{place}.latency"), keys.latency, usual.latency),
            jitter,
            error_rate,
            rate_limit: keys.rate_limit.or(usual.rate_limit),
            lag: keys.lag.unwrap_or(usual.lag),
        }
    }

    fn url(&mut self, place: &str, text: &str) -> Option<Uri> {
        let url = text.parse::<Uri>().ok();
        let url =
            url.filter(|url| url.scheme() == Some(&Scheme::HTTP) && url.authority().is_some());
        if url.is_none() {
            // Providers' URLs have keys in them, so it is not shown.
            self.refuse(
                place,
                "accepted: `http://host:port/path`; https is not spoken",
            );
        }
        url
    }

    fn segment(&mut self, place: &str, text: &str) -> Option<Segment> {
        match Segment::new(text) {
            Ok(segment) => Some(segment),
            Err(error) => {
                self.refuse(place, error.to_string());
                None
            }
        }
    }

    fn secret(&mut self, place: &str, text: String) -> Option<Secret> {
        match Secret::chosen(text) {
            Ok(secret) => Some(secret),
            Err(problem) => {
                self.refuse(place, problem);
                None
            }
        }
    }

    fn time(&mut self, place: &str, text: Option<String>, usual: Duration) -> Duration {
        let Some(text) = text else { return usual };
        match duration(&text) {
            Ok(time) if (LEAST_TIME..=MOST_TIME).contains(&time) => time,
            Ok(_) => {
                self.refuse(
                    place,
                    format!("`{text}` is out of range; accepted: 1ms to 1h"),
                );
                usual
            }
            Err(problem) => {
                let problem = format!("`{text}`: {problem}; accepted: `500ms`, `8s`, `2m`");
                self.refuse(place, problem);
                usual
            }
        }
    }
}

/// A simulated provider of which nothing is said.
const USUAL: Traits = Traits {
    latency: Duration::from_millis(50),
    jitter: 0.3,
    error_rate: 0.0,
    rate_limit: None,
    lag: 0,
};
/// Between two looks at the newest blocks: a few times per block of a fast chain.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(2);
/// Shortest time that can be configured,
const LEAST_TIME: Duration = Duration::from_millis(1);
/// and longest.
const MOST_TIME: Duration = Duration::from_secs(3600);
