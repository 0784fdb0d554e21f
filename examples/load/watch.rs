//! What a viewer is shown: the figures of the whole, and how many events came.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde_json::Value;

use crate::{Http, Options, complain};

/// What a viewer was shown so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures {
    /// Answers per second, over the last minute.
    pub(crate) rate: f64,
    /// Their success rate, 0 to 1.
    pub(crate) success: f64,
    /// Events that came, those that were lost included.
    pub(crate) events: u64,
    /// Events that were lost.
    pub(crate) lost: u64,
    /// Its stream has ended.
    pub(crate) has_ended: bool,
    /// Since when.
    pub(crate) watched: Duration,
}

/// A viewer at work.
pub(crate) struct Watched {
    start: Instant,
    figures: Arc<Mutex<Figures>>,
}

impl Watched {
    /// What it was shown so far.
    pub(crate) fn figures(&self) -> Figures {
        let mut figures = self.figures.lock().expect("nobody panics").clone();
        figures.watched = self.start.elapsed();
        figures
    }
}

/// Opens `/events`, of the whole profile or of one account.
pub(crate) async fn start(
    http: &Http,
    options: &Options,
    account: Option<usize>,
) -> Result<Watched, String> {
    let viewer = options.viewer.unwrap_or(options.node);
    let of_one = account.map(|account| format!("&account=account-{account}"));
    let request = Request::get(format!(
        "http://{viewer}/events?profile={}{}",
        options.profile,
        of_one.unwrap_or_default()
    ))
    .header("X-Api-Key", &options.key)
    .body(Full::<Bytes>::default())
    .map_err(|error| error.to_string())?;
    let response = http.request(request).await;
    let response = response.map_err(|error| format!("{viewer}: {error}"))?;
    if response.status() != StatusCode::OK {
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        return Err(format!(
            "{viewer}: {status}: {}",
            String::from_utf8_lossy(&body)
        ));
    }
    let figures = Arc::new(Mutex::new(Figures::default()));
    tokio::spawn(read(response.into_body(), figures.clone()));
    Ok(Watched {
        start: Instant::now(),
        figures,
    })
}

/// Reads server-sent events until there are none.
async fn read(mut body: Incoming, figures: Arc<Mutex<Figures>>) {
    let mut text = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let Ok(data) = frame.into_data() else {
            continue;
        };
        text.extend_from_slice(&data);
        while let Some(end) = text.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = text.drain(..end + 2).collect();
            let lines = event.split(|byte| *byte == b'\n');
            for data in lines.filter_map(|line| line.strip_prefix(b"data: ")) {
                if let Ok(delivery) = serde_json::from_slice(data) {
                    take(&delivery, &mut figures.lock().expect("nobody panics"));
                }
            }
        }
    }
    figures.lock().expect("nobody panics").has_ended = true;
    complain("a viewer's stream has ended");
}

fn take(delivery: &Value, figures: &mut Figures) {
    let lost = delivery["lost"].as_u64().unwrap_or_default();
    let came = delivery["events"].as_array().map_or(0, Vec::len) as u64;
    figures.lost += lost;
    figures.events += lost + came;
    for row in delivery["figures"]["changed"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let (key, value) = (&row["key"], &row["value"]);
        if key["region"].is_null() && key["series"].is_null() {
            let number = |name: &str| value[name].as_f64().unwrap_or_default();
            figures.rate = number("calls_per_1000_s") / 1e3;
            figures.success = number("success_ppm") / 1e6;
        }
    }
}
