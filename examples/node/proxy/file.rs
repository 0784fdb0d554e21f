//! The proxy's TOML file: its keys, and how they become settings.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Scheme;
use lasso::Label;
use lasso::Segment;
use lasso::events::EventSettings;

use super::breaker::BreakerSettings;
use super::door::{self, DoorSettings};
use super::fields::{Fields, Found, Reader};
use super::settings::{
    Account, ChainSettings, Limits, Profile, ProviderSettings, Secret, Settings, Source, Url, Wrong,
};
use super::simulated::{Chain, Traits};
use super::strategy::Strategy;
use super::telling::NOBODY;

/// Reads the text of a file.
pub(super) fn read(text: &str) -> Result<Settings, Vec<Wrong>> {
    Reader::read(text, settings)
}

fn settings(reader: &mut Reader<'_>, root: &mut Fields<'_>) -> Settings {
    let seed = reader.number(root, "seed", ANY).unwrap_or(1);
    let operator_key = reader.text(root, "operator_key");
    let operator_key = operator_key.and_then(|found| secret(reader, found));
    let height_interval = reader.time(root, "height_interval");
    let mut section = reader.table(root, "limits");
    let limits = limits(reader, &mut section);
    section.finish(reader);
    let mut section = reader.table(root, "breaker");
    let breaker = breaker(reader, &mut section);
    section.finish(reader);
    let mut section = reader.table(root, "web");
    let door = DoorSettings {
        hosts: reader.texts(&mut section, "hosts", HOST, door::host),
        origins: reader.texts(&mut section, "origins", ORIGIN, door::origin),
    };
    section.finish(reader);
    let section = reader.table(root, "profiles");
    let mut profiles = BTreeMap::new();
    for (name, mut fields) in reader.named(&section) {
        let profile = profile(reader, &mut fields);
        fields.finish(reader);
        if let Some(name) = in_paths(reader, &fields, name) {
            profiles.insert(name, profile);
        }
    }
    reader.demand_some(root, "profiles", "at least one profile with a chain");
    let keys = keys(reader, root, &profiles, operator_key.as_ref());
    Settings {
        seed,
        operator_key,
        keys,
        profiles,
        limits,
        breaker,
        door,
        height_interval: height_interval.unwrap_or(DEFAULT_INTERVAL),
    }
}

fn keys(
    reader: &mut Reader<'_>,
    root: &mut Fields<'_>,
    profiles: &BTreeMap<Segment, Profile>,
    operator_key: Option<&Secret>,
) -> HashMap<Secret, Account> {
    let mut keys = HashMap::new();
    for mut fields in reader.tables(root, "keys") {
        let key = reader.needed_text(&mut fields, "key");
        let key = key.and_then(|found| secret(reader, found));
        let mut name = |reader: &mut Reader<'_>, key| {
            let (found, text) = reader.needed_text(&mut fields, key)?;
            segment(reader, found.at, &found.place, text)
        };
        let (profile, account) = (name(reader, "profile"), name(reader, "account"));
        if profile
            .as_ref()
            .is_some_and(|name| !profiles.contains_key(name))
        {
            let (at, place) = (fields.at_of("profile"), fields.place_of("profile"));
            reader.refuse(at, place, "there is no such profile");
        }
        fields.finish(reader);
        let (Some(key), Some(profile), Some(account)) = (key, profile, account) else {
            continue;
        };
        let is_operators = operator_key == Some(&key);
        if keys.insert(key, Account { profile, account }).is_some() || is_operators {
            let (at, place) = (fields.at_of("key"), fields.place_of("key"));
            reader.refuse(at, place, "it is another's key already");
        }
    }
    keys
}

fn limits(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Limits {
    let usual = Limits::default();
    let mut number = |key, usual: usize, least: u64, most: usize| {
        let read = reader.number(fields, key, least..=most as u64);
        read.map_or(usual, |number| number as usize)
    };
    let in_flight = number("in_flight", usual.in_flight, 1, 100_000);
    let own = usual.in_flight_per_account.min(in_flight);
    let viewers = number("viewers", usual.viewers, 1, 10_000);
    let limits = Limits {
        body_bytes: number("body_bytes", usual.body_bytes, 1, 16 << 20),
        answer_bytes: number("answer_bytes", usual.answer_bytes, 1, 64 << 20),
        batch: number("batch", usual.batch, 1, 10_000),
        in_flight,
        in_flight_per_account: number("in_flight_per_account", own, 1, in_flight),
        connections: number("connections", usual.connections, 2, 100_000),
        viewers,
        viewers_per_account: number("viewers_per_account", viewers.div_ceil(4), 1, viewers),
        tries: number("tries", usual.tries, 1, 100),
        try_timeout: reader
            .time(fields, "try_timeout")
            .unwrap_or(usual.try_timeout),
        timeout: reader.time(fields, "timeout").unwrap_or(usual.timeout),
    };
    let mut demand = |holds: bool, key: &str, problem: &str| {
        if !holds {
            reader.refuse(fields.at_of(key), fields.place_of(key), problem);
        }
    };
    demand(
        limits.batch <= limits.in_flight_per_account,
        "in_flight_per_account",
        "a batch of `limits.batch` would never find room",
    );
    demand(
        limits.viewers < limits.connections,
        "viewers",
        "it has to be below `limits.connections`",
    );
    demand(
        limits.try_timeout <= limits.timeout,
        "try_timeout",
        "it is above `limits.timeout`",
    );
    limits
}

fn breaker(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> BreakerSettings {
    let usual = BreakerSettings::default();
    let mut number = |key, usual| {
        let read = reader.number(fields, key, 1..=u64::from(u32::MAX));
        read.map_or(usual, |number| number as u32)
    };
    let (failures, successes) = (
        number("failures", usual.failures),
        number("successes", usual.successes),
    );
    let open_for = reader.time(fields, "open_for").unwrap_or(usual.open_for);
    let open_for_max = reader.time(fields, "open_for_max");
    let settings = BreakerSettings {
        failures,
        open_for,
        open_for_max: open_for_max.unwrap_or(usual.open_for_max.max(open_for)),
        successes,
    };
    if settings.open_for_max < settings.open_for {
        let (at, place) = (
            fields.at_of("open_for_max"),
            fields.place_of("open_for_max"),
        );
        reader.refuse(at, place, "it is below `breaker.open_for`");
    }
    settings
}

fn profile(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Profile {
    let strategy = match reader.text(fields, "strategy") {
        None => Some(Strategy::default()),
        Some((found, name)) => {
            let named = Strategy::ALL.into_iter().find(|one| one.name() == name);
            if named.is_none() {
                let names = Strategy::ALL.map(Strategy::name).join("`, `");
                let problem = format!("there is no such strategy; accepted: `{names}`");
                reader.refuse(found.at, found.place, problem);
            }
            named
        }
    };
    let sampling = reader.share(fields, "sampling", 0.000_001..=1.0);
    let section = reader.table(fields, "chains");
    let mut chains = BTreeMap::new();
    for (name, mut fields) in reader.named(&section) {
        let chain = chain(reader, &mut fields);
        fields.finish(reader);
        if let Some(name) = in_paths(reader, &fields, name) {
            chains.insert(name, chain);
        }
    }
    reader.demand_some(fields, "chains", "at least one chain with a provider");
    // More could be routed, and not be shown to viewers.
    let most = EventSettings::default().chains_max;
    if chains.len() > most {
        let problem = format!("{} are too many; accepted: {most} at most", chains.len());
        reader.refuse(section.at(), section.place(), problem);
    }
    Profile {
        strategy: strategy.unwrap_or_default(),
        sampling_ppm: sampling.map(|share| (share * 1e6).round() as u32),
        chains,
    }
}

fn chain(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> ChainSettings {
    let block_time = reader.time(fields, "block_time");
    let chain = Chain {
        id: reader.number(fields, "chain_id", ANY).unwrap_or(1),
        block_time: block_time.unwrap_or(Duration::from_secs(12)),
    };
    let lag_max = reader.number(fields, "lag_max", ANY).unwrap_or(5);
    reader.demand_some(fields, "providers", "at least one");
    let mut names = BTreeSet::new();
    let mut providers = Vec::new();
    for mut fields in reader.tables(fields, "providers") {
        if let Some(one) = provider(reader, &mut fields) {
            if !names.insert(one.name.clone()) {
                let (at, place) = (fields.at_of("name"), fields.place_of("name"));
                reader.refuse(at, place, "there is a provider of that name already");
            }
            providers.push(one);
        }
        fields.finish(reader);
    }
    ChainSettings {
        chain,
        lag_max,
        providers,
    }
}

fn provider(reader: &mut Reader<'_>, fields: &mut Fields<'_>) -> Option<ProviderSettings> {
    let name = reader.needed_text(fields, "name");
    let name = name.and_then(|(found, text)| {
        if text == NOBODY {
            let problem = format!("`{NOBODY}` is what events call it when no provider was asked");
            reader.refuse(found.at, found.place, problem);
            return None;
        }
        let name = Label::new("provider", text);
        let refused = |error| reader.refuse(found.at, found.place, format!("{error}"));
        name.map_err(refused).ok()
    });
    let (at, both) = (fields.at(), fields.has("url") == fields.has("simulated"));
    if both {
        let problem = "accepted: either `url` or `simulated`";
        reader.refuse(at, fields.place(), problem);
    }
    let upstream = reader.text(fields, "url");
    let upstream = upstream.and_then(|found| url(reader, found));
    let has_simulated = fields.has("simulated");
    let mut section = reader.table(fields, "simulated");
    let everywhere = traits(reader, &mut section, &USUAL);
    let named = reader.table(&mut section, "regions");
    let mut regions = BTreeMap::new();
    for (region, mut fields) in reader.named(&named) {
        regions.insert(region.to_owned(), traits(reader, &mut fields, &everywhere));
        fields.finish(reader);
    }
    section.finish(reader);
    let source = match upstream {
        Some(url) => Source::Upstream(Url(url)),
        None if has_simulated => Source::Simulated {
            traits: everywhere,
            regions,
        },
        None => return None,
    };
    Some(ProviderSettings {
        name: name?,
        source,
    })
}

fn traits(reader: &mut Reader<'_>, fields: &mut Fields<'_>, usual: &Traits) -> Traits {
    let mut share = |key, usual| reader.share(fields, key, 0.0..=1.0).unwrap_or(usual);
    let (jitter, error_rate) = (
        share("jitter", usual.jitter),
        share("error_rate", usual.error_rate),
    );
    let rate_limit = reader.number(fields, "rate_limit", 0..=u64::from(u32::MAX));
    Traits {
        latency: reader.time(fields, "latency").unwrap_or(usual.latency),
        jitter,
        error_rate,
        rate_limit: rate_limit.map(|limit| limit as u32).or(usual.rate_limit),
        lag: reader.number(fields, "lag", ANY).unwrap_or(usual.lag),
    }
}

fn url(reader: &mut Reader<'_>, (found, text): (Found<'_>, &str)) -> Option<Uri> {
    let url = text.parse::<Uri>().ok();
    let url = url.filter(|url| url.scheme() == Some(&Scheme::HTTP) && url.authority().is_some());
    if url.is_none() {
        // Providers' URLs have keys in them, so it is not shown.
        let problem = "accepted: `http://host:port/path`; https is not spoken";
        reader.refuse(found.at, found.place, problem);
    }
    url
}

fn segment(reader: &mut Reader<'_>, at: usize, place: &str, text: &str) -> Option<Segment> {
    let refused = |error| reader.refuse(at, place, format!("{error}"));
    Segment::new(text).map_err(refused).ok()
}

/// The name of a profile or a chain, which is in the paths of URLs as it stands.
fn in_paths(reader: &mut Reader<'_>, fields: &Fields<'_>, name: &str) -> Option<Segment> {
    let named = segment(reader, fields.at(), fields.place(), name)?;
    let carried = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    // Clients take `.` and `..` out of a path.
    if name.bytes().all(carried) && !matches!(name, "." | "..") {
        return Some(named);
    }
    let problem = "no path of a URL has it as it stands; accepted: letters and digits of ASCII, `-`, \
        `_`, `.`, `~`";
    reader.refuse(fields.at(), fields.place(), problem);
    None
}

fn secret(reader: &mut Reader<'_>, (found, text): (Found<'_>, &str)) -> Option<Secret> {
    let refused = |problem: String| reader.refuse(found.at, found.place, problem);
    Secret::chosen(text).map_err(refused).ok()
}

/// What a name of this node is,
const HOST: &str = "names of hosts without a port, as `rpc.example.org`";
/// and what an origin is.
const ORIGIN: &str = "origins as browsers send them, as `https://app.example.org`, or `*`";
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
/// Every whole number that a file can hold.
const ANY: std::ops::RangeInclusive<u64> = 0..=i64::MAX as u64;
