//! What a connection costs: `cargo bench -p lasso-core --features ring`, and without the feature
//! for the ciphers in pure Rust.
//!
//! Targets: a handshake, both sides together, in 0.6 ms or less.

use std::sync::Arc;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use lasso_core::config::LinkSettings;
use lasso_core::frame::{Frame, TopologyFrame};
use lasso_core::link::{Link, Role};
use lasso_core::secure::{Cookie, ReplayGuard, Security};
use lasso_core::time::Instant;
use snow::{Builder, StatelessTransportState};

fn main() {
    divan::main();
}

const SUITES: [&str; 2] = ["AESGCM", "ChaChaPoly"];
const SIZES: [usize; 3] = [64, 1024, 16 << 10];

fn securities() -> [(&'static str, Arc<Security>); 2] {
    let cookie = Cookie::new("a secret of at least 32 characters");
    let noise = Security::Cookie {
        current: cookie,
        previous: None,
    };
    [
        ("noise", Arc::new(noise)),
        ("null", Arc::new(Security::InsecureNull)),
    ]
}

fn security(name: &str) -> Arc<Security> {
    let found = securities().into_iter().find(|(known, _)| *known == name);
    found.expect("one of the names above").1
}

/// Two links whose handshake is done.
fn linked(security: &Arc<Security>, seed: u8) -> (Link, Link) {
    let (now, settings) = (Instant::ZERO, LinkSettings::default());
    let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
    let mut dialer = Link::new(now, Role::Dialer, security, &settings, [seed; 32]);
    let mut acceptor = Link::new(now, Role::Acceptor, security, &settings, [seed ^ 1; 32]);
    let first = dialer.poll_transmit(now).expect("the first message");
    acceptor
        .receive(now, &first, &mut guard, &mut events)
        .expect("a good message");
    let second = acceptor.poll_transmit(now).expect("the second message");
    dialer
        .receive(now, &second, &mut guard, &mut events)
        .expect("a good message");
    (dialer, acceptor)
}

/// Both sides of a handshake: target 0.6 ms.
#[divan::bench(args = ["noise", "null"])]
fn handshake_both_sides(bencher: Bencher<'_, '_>, name: &str) {
    let security = security(name);
    bencher.bench(|| linked(black_box(&security), 2));
}

/// A first message of a stranger, refused.
#[divan::bench]
fn refuse_a_forged_first_message(bencher: Bencher<'_, '_>) {
    let (now, settings) = (Instant::ZERO, LinkSettings::default());
    let security = security("noise");
    let stranger = Security::Cookie {
        current: Cookie::new("another"),
        previous: None,
    }
    .into();
    let mut dialer = Link::new(now, Role::Dialer, &stranger, &settings, [1; 32]);
    let first = dialer.poll_transmit(now).expect("the first message");
    let mut guard = ReplayGuard::new();
    bencher.bench_local(|| {
        let mut acceptor = Link::new(now, Role::Acceptor, &security, &settings, [2; 32]);
        acceptor.receive(now, black_box(&first), &mut guard, &mut Vec::new())
    });
}

/// A health check from one link to the other: encode, seal, open, decode.
#[divan::bench(args = ["noise", "null"])]
fn frame_over_a_link(bencher: Bencher<'_, '_>, name: &str) {
    let now = Instant::ZERO;
    let (mut from, mut to) = linked(&security(name), 2);
    let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
    let greeting = lasso_core::frame::Hello {
        identity: lasso_core::name::Identity {
            cluster: lasso_core::name::Label::unknown(),
            name: "bench@127.0.0.1".parse().expect("a name"),
            incarnation: lasso_core::name::Incarnation(1),
        },
        version_min: 1,
        version_max: 1,
        features: Default::default(),
        tick_ms: 60_000,
        probe: false,
    };
    let mut send = |frame: &Frame| {
        from.send(now, frame).expect("the lane is empty");
        while let Some(bytes) = from.poll_transmit(now) {
            from.written(now, bytes.len());
            to.receive(now, &bytes, &mut guard, &mut events)
                .expect("a good record");
        }
        events.clear();
    };
    send(&Frame::Hello(greeting));
    let check = Frame::Topology(TopologyFrame::Check {
        id: 7,
        known: Some(vec![1 << 60]),
    });
    bencher.bench_local(|| send(black_box(&check)));
}

/// Seals one record, by suite and bytes of text: the measurement behind the choice of the suite.
#[divan::bench(consts = SIZES, args = SUITES)]
fn seal<const SIZE: usize>(bencher: Bencher<'_, '_>, suite: &str) {
    let (sealer, _) = transport(suite);
    let (text, mut out) = (vec![7; SIZE], vec![0; SIZE + 16]);
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        sealer
            .write_message(9, black_box(&text), &mut out)
            .expect("it fits")
    });
}

/// Opens one record, by suite and bytes of text.
#[divan::bench(consts = SIZES, args = SUITES)]
fn open<const SIZE: usize>(bencher: Bencher<'_, '_>, suite: &str) {
    let (sealer, opener) = transport(suite);
    let (mut sealed, mut out) = (vec![0; SIZE + 16], vec![0; SIZE + 16]);
    sealer
        .write_message(9, &vec![7; SIZE], &mut sealed)
        .expect("it fits");
    bencher.counter(BytesCount::new(SIZE)).bench_local(|| {
        opener
            .read_message(9, black_box(&sealed), &mut out)
            .expect("it opens")
    });
}

/// Both ends of a session of this cipher, on the backend that the features choose.
fn transport(suite: &str) -> (StatelessTransportState, StatelessTransportState) {
    let pattern = format!("Noise_NNpsk0_25519_{suite}_SHA256");
    let side = || {
        let parts = lasso_core::secure::bench_parts([3; 32]);
        Builder::with_resolver(pattern.parse().expect("a pattern"), parts)
            .psk(0, &[9; 32])
            .expect("a key")
    };
    let mut dialer = side().build_initiator().expect("complete");
    let mut acceptor = side().build_responder().expect("complete");
    let mut message = [0; 48];
    dialer
        .write_message(&[], &mut message)
        .expect("the first message");
    acceptor.read_message(&message, &mut []).expect("it opens");
    acceptor
        .write_message(&[], &mut message)
        .expect("the second message");
    dialer.read_message(&message, &mut []).expect("it opens");
    let dialer = dialer.into_stateless_transport_mode().expect("done");
    (
        dialer,
        acceptor.into_stateless_transport_mode().expect("done"),
    )
}
