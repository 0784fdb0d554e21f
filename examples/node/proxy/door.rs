//! Which pages of the web may use this node, and under which names it is asked for.
//!
//! A page can make its own name point at this node's address, and then asks this node as if it were its own
//! server. So a request for a name that is not this node's is refused with 421. An address in its place
//! cannot be made up, nor can `localhost`. Pages of other origins may ask, and read answers, only where the
//! configuration names them (CORS); others are refused with 403, as a browser sends some requests, such as a
//! POST of plain text, without asking first.
//!
//! 1. `/livez` and `/readyz` are answered under any name: balancers ask so, and there is nothing to read.
//! 2. Nothing of what was asked is repeated.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::uri::{Authority, Scheme, Uri};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;

/// What the configuration says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DoorSettings {
    /// Names of hosts, in lower case, that requests may be for beside addresses and `localhost`. More: only
    /// names that lead here and nowhere else.
    pub(crate) hosts: Vec<String>,
    /// Origins of pages that may read answers, as `https://example.org`; `*` for any. More: pages that may
    /// use whatever key or ticket they have.
    pub(crate) origins: Vec<String>,
}

/// The same routes, for those who may use them.
pub(crate) fn guarded(settings: DoorSettings, routes: Router) -> Router {
    routes.layer(from_fn_with_state(Arc::new(settings), pass))
}

async fn pass(State(door): State<Arc<DoorSettings>>, request: Request, next: Next) -> Response {
    let is_probe = ["/livez", "/readyz"].contains(&request.uri().path());
    if !is_probe && !door.is_for_us(request.uri(), request.headers()) {
        let text = "this node is not asked for by this host name; `web.hosts` of its proxy's configuration names \
            those that it is, beside addresses and `localhost`";
        return Refusal(StatusCode::MISDIRECTED_REQUEST, text.into()).into_response();
    }
    let origin = door.allowed(request.headers());
    if !is_probe && origin.is_none() && is_of_another_page(request.uri(), request.headers()) {
        let text = "pages of this origin may not ask this node; `web.origins` of its proxy's configuration \
            names those that may";
        return Refusal(StatusCode::FORBIDDEN, text.into()).into_response();
    }
    let asks_first = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = match (&origin, asks_first) {
        (Some(_), true) => preflight(),
        _ => next.run(request).await,
    };
    if !door.origins.is_empty() {
        let origin_counts = HeaderValue::from_static("origin");
        response.headers_mut().append(header::VARY, origin_counts);
    }
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let readable = HeaderValue::from_static("retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    }
    response
}

/// True when a page of another origin asks. A browser names the origin, and other clients name none.
fn is_of_another_page(uri: &Uri, headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let page = origin.to_str().ok().and_then(|text| text.split_once("://"));
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(Authority::as_str));
    !page
        .zip(host)
        .is_some_and(|((_, page), host)| page.eq_ignore_ascii_case(host))
}

/// The answer to a browser that asks before it sends (a CORS preflight).
fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "content-type, x-api-key",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

impl DoorSettings {
    /// True when a request is for this node, or for no host at all, as that of no browser is.
    fn is_for_us(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut named = headers.get_all(header::HOST).iter();
        let (host, more) = (named.next(), named.next());
        more.is_none()
            && host.is_none_or(|host| host.to_str().is_ok_and(|host| self.is_ours(host)))
            && uri
                .authority()
                .is_none_or(|authority| self.is_ours(authority.as_str()))
    }

    /// True for an address, `localhost`, and a name that the configuration has; each with a port or without.
    fn is_ours(&self, authority: &str) -> bool {
        let Ok(parsed) = authority.parse::<Authority>() else {
            return false;
        };
        if authority.contains('@') {
            return false;
        }
        let host = parsed.host().trim_end_matches('.').to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        address.parse::<IpAddr>().is_ok()
            || host == "localhost"
            || host.ends_with(".localhost")
            || self.hosts.contains(&host)
    }

    /// The origin that may read the answer to a request with these headers.
    fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.origins.iter().any(|allowed| allowed == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let allowed = self.origins.iter();
        let mut allowed = allowed.filter(|allowed| origin.as_bytes() == allowed.as_bytes());
        allowed.next().map(|_| origin.clone())
    }
}

/// The name of a host, as it is compared; `None` where it is none.
pub(super) fn host(text: &str) -> Option<String> {
    let parsed = text.parse::<Authority>().ok()?;
    let is_a_name = parsed.host() == text && !text.contains('@') && text.is_ascii();
    is_a_name.then(|| text.trim_end_matches('.').to_ascii_lowercase())
}

/// An origin as browsers send it, or `*`; `None` where it is neither.
pub(super) fn origin(text: &str) -> Option<String> {
    if text == "*" {
        return Some(text.to_owned());
    }
    let uri = text.parse::<Uri>().ok()?;
    let (scheme, authority) = (uri.scheme()?, uri.authority()?);
    let is_web = [Scheme::HTTP, Scheme::HTTPS].contains(scheme);
    let whole = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
    (is_web && whole == text && !text.contains('@')).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_asked_for_by_address_localhost_or_a_name_of_its_own() {
        let door = DoorSettings {
            hosts: vec!["rpc.example.org".into()],
            origins: Vec::new(),
        };
        for ours in [
            "127.0.0.1:4000",
            "10.0.0.5",
            "[::1]:4000",
            "[fe80::1]",
            "localhost",
            "LOCALHOST:4000",
            "app.localhost:80",
            "rpc.example.org",
            "RPC.example.org.:443",
        ] {
            assert!(door.is_ours(ours), "{ours}");
        }
        for other in [
            "",
            "example.org",
            "evil.rpc.example.org",
            "rpc.example.org.evil.net:4000",
            "127.0.0.1.evil.net",
            "127.0.0.1@evil.net",
            "evil@127.0.0.1",
            "localhost.evil.net",
            "notlocalhost",
            "a b",
        ] {
            assert!(!door.is_ours(other), "{other}");
        }
        let mut headers = HeaderMap::new();
        let here = Uri::from_static("/events");
        assert!(door.is_for_us(&here, &headers), "no browser's");
        headers.append(header::HOST, HeaderValue::from_static("10.0.0.5"));
        assert!(door.is_for_us(&here, &headers));
        let absolute = Uri::from_static("http://evil.net/events");
        assert!(!door.is_for_us(&absolute, &headers));
        headers.append(header::HOST, HeaderValue::from_static("10.0.0.5"));
        assert!(!door.is_for_us(&here, &headers), "two of them");
    }

    #[test]
    fn hosts_and_origins_are_read_as_browsers_send_them() {
        for (text, read) in [
            ("rpc.example.org", Some("rpc.example.org")),
            ("RPC.example.org.", Some("rpc.example.org")),
            ("rpc.example.org:4000", None),
            ("http://rpc.example.org", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_deref(), read, "{text}");
        }
        for (text, is_one) in [
            ("*", true),
            ("https://app.example.org", true),
            ("http://localhost:3000", true),
            ("https://app.example.org/", false),
            ("https://App.example.org", false),
            ("app.example.org", false),
            ("ftp://app.example.org", false),
            ("null", false),
        ] {
            assert_eq!(origin(text).is_some(), is_one, "{text}");
        }
    }
}
