//! One request from its words to its answer: which providers it is tried at, and what is told of it.
//!
//! 1. Nothing here waits for the cluster.
//! 2. Every try that began ends in the pool, also when the client is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lasso::Label;
use parking_lot::Mutex;
use serde::Serialize;

use super::admission::{Caller, Full, Gate, Permit, Places};
use super::jsonrpc::{Call, LIMIT_EXCEEDED, RpcError, Said, UNAVAILABLE};
use super::judge::{Probe, Witness};
use super::methods;
use super::pool::{CircuitNews, Elsewhere, Pool, Route, Try};
use super::reply::{Failure, Reply, Verdict};
use super::report::{Finished, Place, Report, Reporter, Tried};
use super::settings::{ChainSettings, Limits, Profile, ProviderSettings, Settings, Source, Url};
use super::simulated::Simulated;
use super::strategy::Chooser;
use super::upstream::Client;

/// Serves requests. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Service {
    shared: Arc<Shared>,
}

struct Shared {
    rooms: BTreeMap<Place, Arc<Room>>,
    gate: Gate,
    limits: Limits,
    client: Client,
    reporter: Reporter,
    /// Requests whose clients were gone before they were answered.
    abandoned: AtomicU64,
}

/// What the service has done, and is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    /// Requests under way now.
    under_way: usize,
    /// Requests whose clients were gone before they were answered.
    abandoned: u64,
    /// Reports of requests that the cluster has not taken yet.
    reports_waiting: u64,
    /// What the cluster was not told, as it takes too long.
    reports_shed: u64,
    /// Clients whose failures were forgotten, or not taken, where a provider was judged.
    witnesses_forgotten: u64,
    /// Tickets for viewers that were refused, or gave way before their time.
    tickets_shed: u64,
    /// What HTTP clients were denied.
    http: lasso::http::Counters,
}

/// One chain of one profile.
pub(crate) struct Room {
    /// Which.
    pub(crate) place: Place,
    /// Its providers' state.
    pub(crate) pool: Mutex<Pool>,
    strategy: Label,
    /// In the order of the pool.
    backends: Vec<Backend>,
}

/// Where a provider is.
enum Backend {
    Simulated(Box<Mutex<Simulated>>),
    Upstream(axum::http::Uri),
}

impl Service {
    /// A service for a node of this name and region, which tells `reporter` what happens.
    pub(crate) fn new(settings: &Settings, node: &str, region: &str, reporter: Reporter) -> Self {
        let now = clock();
        let mut rooms = BTreeMap::new();
        for (profile, routing) in &settings.profiles {
            for (chain, providers) in &routing.chains {
                let place = Place {
                    profile: profile.clone(),
                    chain: chain.clone(),
                };
                let seed = settings.seed ^ hash(&[node, profile.as_str(), chain.as_str()]);
                let room = Room::new(
                    now,
                    place.clone(),
                    settings,
                    routing,
                    providers,
                    seed,
                    region,
                );
                rooms.insert(place, Arc::new(room));
            }
        }
        let limits = settings.limits.clone();
        let providers = rooms.values().map(|room| room.len()).sum();
        let gate = Gate::new(Places {
            all: limits.in_flight,
            caller: limits.in_flight_per_account,
            kept: 0,
        });
        Service {
            shared: Arc::new(Shared {
                rooms,
                gate,
                client: Client::new(limits.answer_bytes, limits.in_flight, providers),
                limits,
                reporter,
                abandoned: AtomicU64::new(0),
            }),
        }
    }

    /// The chain of a profile.
    pub(crate) fn room(&self, place: &Place) -> Option<&Arc<Room>> {
        self.shared.rooms.get(place)
    }

    /// All chains of all profiles.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Arc<Room>> {
        self.shared.rooms.values()
    }

    /// The bounds.
    pub(crate) fn limits(&self) -> &Limits {
        &self.shared.limits
    }

    /// What it has done, and is doing.
    pub(crate) fn counts(&self, tickets_shed: u64) -> Counts {
        Counts {
            under_way: self.shared.gate.taken(),
            abandoned: self.shared.abandoned.load(Ordering::Relaxed),
            reports_waiting: self.shared.reporter.waiting(),
            reports_shed: self.shared.reporter.shed(),
            witnesses_forgotten: self.rooms().map(|room| room.pool.lock().forgotten()).sum(),
            tickets_shed,
            http: lasso::http::counters(),
        }
    }

    /// Tells the cluster, without waiting for it.
    pub(crate) fn tell(&self, report: Report) {
        self.shared.reporter.tell(unix_ms(), report);
    }

    fn tell_circuit(&self, room: &Room, news: Option<CircuitNews>) {
        if let Some(news) = news {
            self.tell(Report::Circuit(room.place.clone(), news));
        }
    }

    /// Room for that many requests.
    pub(crate) fn enter(&self, caller: &Caller, requests: usize) -> Result<Permit, Full> {
        self.shared.gate.enter(caller, requests)
    }

    /// What a provider says to a question that is the proxy's own: no figure counts it, and no client can
    /// make it fail.
    pub(crate) async fn ask_for_height(&self, room: &Room, place: usize) -> Option<u64> {
        let reply = match &room.backends[place] {
            // Its errors are those of requests.
            Backend::Simulated(provider) => return Some(provider.lock().height(unix_ms())),
            Backend::Upstream(url) => {
                let asked = self.shared.client.ask(url, "eth_blockNumber", None);
                let answered = tokio::time::timeout(self.shared.limits.try_timeout, asked).await;
                answered.unwrap_or(Err(Failure::Timeout))
            }
        };
        let probe = match Verdict::of(&reply) {
            Verdict::Done => Probe::Answered,
            Verdict::Provider(reason) => Probe::Failed(reason),
            Verdict::RateLimited(pause) => {
                room.pool.lock().probe_limited(clock(), place, pause);
                return None;
            }
            _ => Probe::Unclear,
        };
        let news = room.pool.lock().probe(clock(), place, probe);
        self.tell_circuit(room, news);
        let Ok(Said::Result(result)) = reply else {
            return None;
        };
        let text: String = serde_json::from_str(result.get()).ok()?;
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    }

    /// Serves one request.
    pub(crate) async fn ask(
        &self,
        room: &Arc<Room>,
        caller: &Caller,
        witness: &Witness,
        call: &Call,
    ) -> Said {
        let (mut route, deadline) = {
            let now = clock();
            (
                room.pool.lock().route(now, witness.clone()),
                now + self.shared.limits.timeout,
            )
        };
        let mut tries = Vec::new();
        let mut last = None;
        let mut failed = Failed::new(self, room);
        let mut answers = 0;
        let method = methods::label(&call.method);
        while let Some(under_way) = self.next(room, &mut route) {
            let left = deadline.saturating_duration_since(clock());
            let time = left.min(self.shared.limits.try_timeout);
            let place = under_way.place();
            let (latency, reply) = self.try_at(room, place, call, time).await;
            let verdict = Verdict::of(&reply);
            room.pool.lock().count(clock(), place, &method);
            match verdict {
                Verdict::Doubted(_) | Verdict::Provider(_) => failed.add(under_way, verdict),
                _ => {
                    answers += usize::from(matches!(verdict, Verdict::Client(_)));
                    under_way.end(verdict, latency);
                }
            }
            tries.push(Tried {
                provider: room.pool.lock().name(place).clone(),
                success: !verdict.may_fail_over(),
                latency,
            });
            last = Some((verdict, reply));
            if !verdict.may_fail_over() || clock() >= deadline {
                break;
            }
        }
        failed.settle(matches!(last, Some((Verdict::Done, _))), answers);
        let (finished, said) = self.finish(room, caller, witness, call, tries, last);
        self.tell(Report::Finished(Box::new(finished)));
        said
    }

    /// The next provider along the way.
    fn next<'a>(&'a self, room: &'a Arc<Room>, route: &mut Route) -> Option<UnderWay<'a>> {
        let (began, news) = room.pool.lock().next(clock(), route)?;
        let under_way = UnderWay {
            service: self,
            room,
            began: Some(began),
        };
        under_way.tell(news);
        Some(under_way)
    }

    /// Asks one provider; what it took is what a simulated one says it did.
    async fn try_at(
        &self,
        room: &Room,
        place: usize,
        call: &Call,
        time: Duration,
    ) -> (Duration, Reply) {
        match &room.backends[place] {
            Backend::Simulated(provider) => {
                let (latency, reply) = provider.lock().ask(clock(), unix_ms(), &call.method);
                tokio::time::sleep(latency.min(time)).await;
                if latency > time {
                    (time, Err(Failure::Timeout))
                } else {
                    (latency, reply)
                }
            }
            Backend::Upstream(url) => {
                let began = clock();
                let params = call.params.as_deref();
                let asked = self.shared.client.ask(url, call.method.as_str(), params);
                let answered = tokio::time::timeout(time, asked).await;
                (clock() - began, answered.unwrap_or(Err(Failure::Timeout)))
            }
        }
    }

    /// What is told of a request, and what its client is told.
    fn finish(
        &self,
        room: &Room,
        caller: &Caller,
        witness: &Witness,
        call: &Call,
        tries: Vec<Tried>,
        last: Option<(Verdict, Reply)>,
    ) -> (Finished, Said) {
        let label = |text: &str| Label::new("error category", text).ok();
        let mut finished = Finished {
            place: room.place.clone(),
            account: caller.bearer.account().cloned(),
            method: call.method.clone(),
            strategy: room.strategy.clone(),
            success: last
                .as_ref()
                .is_some_and(|(verdict, _)| !verdict.may_fail_over()),
            tries,
            error_category: None,
            error_code: None,
        };
        let Some((verdict, reply)) = last else {
            finished.error_category = label("no provider");
            finished.error_code = Some(UNAVAILABLE);
            let soonest = room.pool.lock().retry_after(clock(), witness);
            return (finished, Said::Error(nobody(&room.place, soonest)));
        };
        finished.error_category = verdict.category().and_then(label);
        finished.error_code = match &reply {
            Ok(Said::Result(_)) => None,
            Ok(Said::Error(error)) => Some(error.code),
            Err(failure) => failure.code(),
        };
        let said = reply.unwrap_or_else(|failure| {
            if failure == Failure::TooLarge {
                let most = self.shared.limits.answer_bytes;
                let message = format!("the answer is larger than {most} bytes; ask for less");
                return Said::Error(RpcError::new(LIMIT_EXCEEDED, message));
            }
            let Place { profile, chain } = &room.place;
            let message = format!(
                "no provider of `{chain}` in `{profile}` has answered, {} tried; the last: {}",
                finished.tries.len(),
                failure.category()
            );
            Said::Error(RpcError::new(UNAVAILABLE, message))
        });
        (finished, said)
    }
}

fn nobody(place: &Place, soonest: Option<Duration>) -> RpcError {
    let Place { profile, chain } = place;
    let when = soonest.map_or(String::new(), |time| {
        format!("; try again in {} ms", time.as_millis())
    });
    let message = format!("no provider of `{chain}` in `{profile}` may be asked now{when}");
    RpcError::new(UNAVAILABLE, message)
}

impl Room {
    fn new(
        now: Instant,
        place: Place,
        settings: &Settings,
        routing: &Profile,
        chain: &ChainSettings,
        seed: u64,
        region: &str,
    ) -> Self {
        let names = chain.providers.iter().map(|provider| provider.name.clone());
        let pool = Pool::new(
            now,
            names,
            Chooser::new(routing.strategy, seed),
            &settings.breaker,
            settings.limits.tries,
            chain.lag_max,
        );
        let backend = |provider: &ProviderSettings| match &provider.source {
            Source::Upstream(Url(url)) => Backend::Upstream(url.clone()),
            Source::Simulated { traits, regions } => {
                let traits = regions.get(region).unwrap_or(traits).clone();
                let seed = seed ^ hash(&[provider.name.as_str()]);
                let chain = chain.chain.clone();
                let provider = Simulated::new(now, traits, chain, seed);
                Backend::Simulated(Box::new(Mutex::new(provider)))
            }
        };
        Room {
            place,
            strategy: Label::new("strategy", routing.strategy.name()).expect("a strategy's name"),
            pool: Mutex::new(pool),
            backends: chain.providers.iter().map(backend).collect(),
        }
    }

    /// How many providers it has.
    pub(crate) fn len(&self) -> usize {
        self.backends.len()
    }
}

/// A request at a provider; when it is dropped before its end, it has none.
struct UnderWay<'a> {
    service: &'a Service,
    room: &'a Room,
    began: Option<Try>,
}

impl UnderWay<'_> {
    fn place(&self) -> usize {
        self.began.as_ref().expect("it has not ended").place
    }

    fn end(mut self, verdict: Verdict, latency: Duration) {
        if let Some(began) = self.began.take() {
            let news = self.room.pool.lock().end(clock(), began, verdict, latency);
            self.tell(news);
        }
    }

    fn tell(&self, news: Option<CircuitNews>) {
        self.service.tell_circuit(self.room, news);
    }
}

/// Tries of one request that failed. They end with the request, as it takes what others made of it to
/// know whose fault it was.
struct Failed<'a> {
    service: &'a Service,
    room: &'a Room,
    tries: Vec<(Try, Verdict)>,
}

impl<'a> Failed<'a> {
    fn new(service: &'a Service, room: &'a Room) -> Self {
        Failed {
            service,
            room,
            tries: Vec::new(),
        }
    }

    fn add(&mut self, mut under_way: UnderWay<'_>, verdict: Verdict) {
        let began = under_way.began.take();
        self.tries.extend(began.map(|began| (began, verdict)));
    }

    /// The request has ended; `done`: another provider has done it, so that it could be; `answers`: as many
    /// said that it is the client's fault.
    fn settle(mut self, done: bool, answers: usize) {
        let elsewhere = match self.tries.len() + answers {
            _ if done => Elsewhere::Done,
            0 | 1 => Elsewhere::NotAsked,
            _ => Elsewhere::Failed,
        };
        for (began, verdict) in self.tries.drain(..) {
            let news = self
                .room
                .pool
                .lock()
                .fail(clock(), began, verdict, elsewhere);
            self.service.tell_circuit(self.room, news);
        }
    }
}

/// The client is gone: nobody will know.
impl Drop for Failed<'_> {
    fn drop(&mut self) {
        if self.tries.is_empty() {
            return;
        }
        let mut pool = self.room.pool.lock();
        for (began, ..) in self.tries.drain(..) {
            pool.withdraw(clock(), began);
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(began) = self.began.take() {
            self.room.pool.lock().withdraw(clock(), began);
            self.service
                .shared
                .abandoned
                .fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The runtime's clock, which tests may stop.
pub(crate) fn clock() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// The wall clock, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_millis() as u64)
}

/// A seed from names: FNV-1a, which is the same everywhere.
fn hash(names: &[&str]) -> u64 {
    let bytes = names.iter().flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
