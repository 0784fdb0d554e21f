//! Puts load on a node's proxy, and compares what viewers are shown with what is true.
//!
//! ```text
//! PROXY_OPERATOR_KEY=the-operators cargo run --example node -- --local 3
//! cargo run --example load -- --node 127.0.0.1:4000 --viewer 127.0.0.3:4000 --key the-operators
//! ```
//!
//! Requests are sent at a steady rate, whether or not earlier ones are answered; each is counted in the
//! second in which its answer came. Meanwhile a viewer at another node reads `/events`, whose figures come
//! from samples. Every few seconds a line compares the two, over the last minute each; at the end there is
//! how long answers took. With `--accounts 64` one more viewer looks at each of so many accounts, and with
//! `--unwatched` none does: what viewers cost requests is the difference.

mod tally;
mod watch;

use std::error::Error;
use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tally::{Answer, Tally};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// Puts load on a node's proxy, and compares what viewers are shown with what is true.
#[derive(Parser)]
struct Options {
    /// The node that requests go to.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:4000")]
    node: SocketAddr,
    /// The node at which a viewer looks; by default the same.
    #[arg(long, value_name = "IP:PORT")]
    viewer: Option<SocketAddr>,
    /// The operator's key, which opens `/events`.
    #[arg(long)]
    key: String,
    /// The profile.
    #[arg(long, default_value = "default")]
    profile: String,
    /// The chain.
    #[arg(long, default_value = "ethereum")]
    chain: String,
    /// Requests per second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Requests are of so many accounts in turn, whose keys are `key-of-account-0` and so on, and one
    /// more viewer looks at each; with 0, of none.
    #[arg(long, default_value_t = 0, value_name = "N")]
    accounts: usize,
    /// Nobody looks at the accounts.
    #[arg(long)]
    unwatched: bool,
    /// For how long: over a minute, or the viewer's figures have not come to rest.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u64).range(61..=86_400))]
    seconds: u64,
}

type Http = Client<HttpConnector, Full<Bytes>>;

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let http: Http = Client::builder(TokioExecutor::new()).build_http();
    let watched = match watch::start(&http, &options, None).await {
        Ok(watched) => watched,
        Err(error) => {
            complain(error);
            return ExitCode::FAILURE;
        }
    };
    let looked_at = if options.unwatched {
        0
    } else {
        options.accounts
    };
    for account in 0..looked_at {
        if let Err(error) = watch::start(&http, &options, Some(account)).await {
            complain(error);
            return ExitCode::FAILURE;
        }
    }
    let tally = Arc::new(Tally::new());
    say(tally::HEADER);
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let sending = tokio::spawn(send(http, Arc::new(options), tally.clone(), end));
    let mut lines = interval(LINE);
    lines.tick().await;
    while Instant::now() + LINE / 2 < end {
        lines.tick().await;
        say(tally.line(&watched.figures()));
    }
    let _ = sending.await;
    say(tally.summary());
    match tally.compared(&watched.figures()) {
        Ok(compared) => {
            say(compared);
            ExitCode::SUCCESS
        }
        Err(why) => {
            complain(format!("nothing is compared: {why}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; where nobody reads any more, the load goes on.
fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The same on standard error.
pub(crate) fn complain(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Sends at the rate asked for, until `end`.
async fn send(http: Http, options: Arc<Options>, tally: Arc<Tally>, end: Instant) {
    let url = format!(
        "http://{}/rpc/{}/{}",
        options.node, options.profile, options.chain
    );
    let places = Arc::new(Semaphore::new(UNDER_WAY_MAX));
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = 0;
    while Instant::now() < end {
        ticks.tick().await;
        let due = start.elapsed().as_secs_f64() * f64::from(options.rate);
        while sent < due as u64 {
            sent += 1;
            tally.sent();
            let Ok(place) = places.clone().try_acquire_owned() else {
                let why = format!("not sent, as {UNDER_WAY_MAX} are under way");
                tally.done(Answer::Refused(why));
                continue;
            };
            let (http, url, tally) = (http.clone(), url.clone(), tally.clone());
            let key = (options.accounts > 0)
                .then(|| format!("key-of-account-{}", sent % options.accounts as u64));
            tokio::spawn(async move {
                let asked_at = Instant::now();
                let answer = ask(&http, &url, key.as_deref()).await;
                tally.took(asked_at.elapsed());
                tally.done(answer);
                drop(place);
            });
        }
    }
    // What is under way is answered or given up by then.
    sleep_until(Instant::now() + Duration::from_secs(1)).await;
}

#[derive(Deserialize)]
struct Answered {
    result: Option<IgnoredAny>,
}

/// What comes with a status other than success.
#[derive(Deserialize)]
struct NotServed {
    error: Told,
}

#[derive(Deserialize)]
struct Told {
    message: String,
}

async fn ask(http: &Http, url: &str, key: Option<&str>) -> Answer {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"eth_call","params":[]}"#;
    let request = Request::post(url).header("content-type", "application/json");
    let request = match key {
        Some(key) => request.header("X-Api-Key", key),
        None => request,
    };
    let request = request
        .body(Full::from(body))
        .expect("a URL made of an address and names");
    let response = match http.request(request).await {
        Ok(response) => response,
        Err(error) => return Answer::Refused(with_cause(&error)),
    };
    let status = response.status();
    let body = match response.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Answer::Refused(with_cause(&error)),
    };
    if status != StatusCode::OK {
        let told = serde_json::from_slice::<NotServed>(&body);
        let why = told.map_or(String::new(), |told| format!(": {}", told.error.message));
        return Answer::Refused(format!("{status}{why}"));
    }
    match serde_json::from_slice::<Answered>(&body) {
        Ok(Answered { result: Some(_) }) => Answer::Success,
        _ => Answer::Error,
    }
}

fn with_cause(error: &dyn Error) -> String {
    let cause = error.source();
    cause.map_or(error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Between two lines.
const LINE: Duration = Duration::from_secs(5);
/// Requests under way; what is due beyond is not sent, and shown as refused.
const UNDER_WAY_MAX: usize = 4_000;
