//! Asks a proxy without a network, and hears what it tells the cluster.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use lasso::Cluster;
use lasso::http::ClientAddress;
use serde_json::{Value, json};

use crate::proxy::report::{Finished, Report, Sink};
use crate::proxy::settings::Settings;
use crate::proxy::sink::{self, ClusterSink};
use crate::proxy::{Proxy, guided};

/// What came back.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// `null` for no body.
    pub(crate) body: Value,
}

/// A proxy at the other end of a function call.
#[derive(Clone)]
pub(crate) struct Client(Router);

impl Client {
    /// A proxy with these settings, in this region, and what it tells the cluster.
    pub(crate) fn start(settings: &str, region: &str) -> (Self, Heard) {
        let (hear, heard) = channel();
        (Client::with(settings, region, Hear(hear)), Heard(heard))
    }

    /// A proxy that tells `sink`.
    pub(crate) fn with(settings: &str, region: &str, sink: impl Sink) -> Self {
        let settings = Settings::read(settings).expect("settings of a test");
        let proxy = Proxy::start(settings, "lasso@10.0.0.5", region, sink);
        Client(proxy.guarded(guided(proxy.serving())))
    }

    /// The proxy of a node, with all that it shows.
    pub(crate) fn on(cluster: &Cluster, settings: &str) -> Self {
        let settings = Settings::read(settings).expect("settings of a test");
        let (name, region) = (cluster.name().to_string(), cluster.health().node.region);
        let sink = ClusterSink::new(cluster);
        let proxy = Proxy::start(settings, &name, region.as_str(), sink);
        let routes = proxy.serving().merge(proxy.showing(cluster));
        Client(proxy.guarded(guided(routes)))
    }

    /// What a node is told for a proxy with these settings.
    pub(crate) fn cluster_settings(settings: &str) -> lasso::Settings {
        let settings = Settings::read(settings).expect("settings of a test");
        lasso::Settings {
            sampling: sink::rates(&settings),
            ..lasso::Settings::default()
        }
    }

    /// Opens `/events` with this query.
    pub(crate) async fn watch(&self, key: Option<&str>, query: &str) -> (StatusCode, Body) {
        let response = self.watching(key, query).await;
        (response.status(), response.into_body())
    }

    /// The same, with its headers.
    pub(crate) async fn watching(&self, key: Option<&str>, query: &str) -> Response<Body> {
        let mut request = Request::get(format!("/events?{query}"));
        if let Some(key) = key {
            request = request.header("X-Api-Key", key);
        }
        let service = TowerToHyperService::new(self.0.clone());
        let request = request.body(Body::empty()).expect("a request");
        service.call(request).await.expect("routers do not fail")
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answered {
        let service = TowerToHyperService::new(self.0.clone());
        let response = service.call(request).await.expect("routers do not fail");
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answered {
            status: parts.status,
            headers: parts.headers,
            body: match body.is_empty() {
                true => Value::Null,
                false => serde_json::from_slice(&body).expect("JSON"),
            },
        }
    }

    /// Posts a body to `/rpc/{path}`, and does not read the answer.
    pub(crate) async fn response(&self, path: &str, body: impl Into<Body>) -> Response<Body> {
        let request = Request::post(format!("/rpc/{path}")).body(body.into());
        let service = TowerToHyperService::new(self.0.clone());
        let response = service.call(request.expect("a request")).await;
        response.expect("routers do not fail")
    }

    /// Posts a body to `/rpc/{path}`.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Body>) -> Answered {
        let request = Request::post(format!("/rpc/{path}")).body(body.into());
        self.send(request.expect("a request")).await
    }

    /// Posts without a key from the address 10.0.0.`from`.
    pub(crate) async fn post_from(&self, from: u8, path: &str, body: String) -> Answered {
        let request = Request::post(format!("/rpc/{path}"));
        let request = request.extension(ClientAddress([10, 0, 0, from].into()));
        self.send(request.body(body.into()).expect("a request"))
            .await
    }

    /// Posts with a key.
    pub(crate) async fn post_as(&self, key: &str, path: &str, body: String) -> Answered {
        let request = Request::post(format!("/rpc/{path}")).header("X-Api-Key", key);
        self.send(request.body(body.into()).expect("a request"))
            .await
    }

    /// The answer to one call of a method.
    pub(crate) async fn ask(&self, path: &str, method: &str) -> Value {
        let answered = self.post(path, call(1, method)).await;
        assert_eq!(answered.status, StatusCode::OK, "{}", answered.body);
        answered.body
    }
}

/// A request's text.
pub(crate) fn call(id: u64, method: &str) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": [] }).to_string()
}

struct Hear(Sender<Report>);

impl Sink for Hear {
    fn take(&mut self, _: u64, report: Report) {
        let _ = self.0.send(report);
    }
}

/// What the cluster is told.
pub(crate) struct Heard(Receiver<Report>);

impl Heard {
    /// The next report of which `part` makes something. The thread stands still until it comes, so
    /// that simulated time does, too.
    pub(crate) fn next<T>(&self, part: impl Fn(Report) -> Option<T>) -> T {
        loop {
            let report = self.0.recv_timeout(PATIENCE).expect("a report comes");
            if let Some(part) = part(report) {
                return part;
            }
        }
    }

    /// The next request that is told of.
    pub(crate) fn finished(&self) -> Finished {
        self.next(|report| match report {
            Report::Finished(finished) => Some(*finished),
            _ => None,
        })
    }
}

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(40);
