//! Two links talk to each other over a wire that slices as it likes, and strangers talk to one.

use std::collections::BTreeSet;

use super::*;
use crate::frame::{Hello, TopologyFrame, VERSION_MAX, VERSION_MIN};
use crate::name::{Identity, Incarnation, Label};
use crate::secure::Cookie;

const T: Duration = Duration::from_secs(60);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn cookie(secret: &str) -> Arc<Security> {
    Arc::new(Security::Cookie {
        current: Cookie::new(secret),
        previous: None,
    })
}

fn both() -> [Arc<Security>; 2] {
    [
        cookie("a secret of at least 32 characters"),
        Arc::new(Security::InsecureNull),
    ]
}

fn hello(name: &str) -> Frame {
    Frame::Hello(Hello {
        identity: Identity {
            cluster: Label::new("cluster name", "lasso").unwrap(),
            name: name.parse().unwrap(),
            incarnation: Incarnation(7),
        },
        version_min: VERSION_MIN,
        version_max: VERSION_MAX,
        features: BTreeSet::new(),
        tick_ms: 60_000,
        probe: false,
    })
}

/// Two links and the wire between them.
struct Pair {
    dialer: Link,
    acceptor: Link,
    guard: ReplayGuard,
    at_dialer: Vec<LinkEvent>,
    at_acceptor: Vec<LinkEvent>,
}

impl Pair {
    fn new(dialer: &Arc<Security>, acceptor: &Arc<Security>) -> Self {
        Pair::with(dialer, acceptor, &LinkSettings::default())
    }

    fn with(dialer: &Arc<Security>, acceptor: &Arc<Security>, settings: &LinkSettings) -> Self {
        Pair {
            dialer: Link::new(at(0), Role::Dialer, dialer, settings, [1; 32]),
            acceptor: Link::new(at(0), Role::Acceptor, acceptor, settings, [2; 32]),
            guard: ReplayGuard::new(),
            at_dialer: Vec::new(),
            at_acceptor: Vec::new(),
        }
    }

    /// Carries bytes both ways, `slice` at a time, until nobody has any.
    fn carry(&mut self, now: Instant, slice: usize) -> Result<(), CloseReason> {
        loop {
            let mut idle = true;
            while let Some(bytes) = self.dialer.poll_transmit(now) {
                idle = false;
                self.dialer.written(now, bytes.len());
                for bytes in bytes.chunks(slice) {
                    self.acceptor
                        .receive(now, bytes, &mut self.guard, &mut self.at_acceptor)?;
                }
            }
            while let Some(bytes) = self.acceptor.poll_transmit(now) {
                idle = false;
                self.acceptor.written(now, bytes.len());
                for bytes in bytes.chunks(slice) {
                    self.dialer
                        .receive(now, bytes, &mut self.guard, &mut self.at_dialer)?;
                }
            }
            if idle {
                return Ok(());
            }
        }
    }

    /// A pair that has exchanged its `Hello`s and stands.
    fn standing(security: &Arc<Security>) -> Self {
        let mut pair = Pair::new(security, security);
        pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
        pair.acceptor.send(at(0), &hello("app@10.0.0.2")).unwrap();
        pair.carry(at(0), usize::MAX).unwrap();
        pair.dialer.established(at(0));
        pair.acceptor.established(at(0));
        assert_eq!(pair.at_dialer, [LinkEvent::Frame(hello("app@10.0.0.2"))]);
        assert_eq!(pair.at_acceptor, [LinkEvent::Frame(hello("app@10.0.0.1"))]);
        pair.at_dialer.clear();
        pair.at_acceptor.clear();
        pair
    }
}

#[test]
fn both_sides_get_each_others_frames_in_order_however_they_are_sliced() {
    for security in both() {
        for slice in [1, 2, 7, 100, usize::MAX] {
            let mut pair = Pair::new(&security, &security);
            let frames = [
                hello("app@10.0.0.1"),
                Frame::Offer,
                Frame::Topology(TopologyFrame::Check {
                    id: 3,
                    known: Some(vec![1, u64::MAX]),
                }),
                Frame::Close(CloseReason::Left),
            ];
            for frame in &frames {
                pair.dialer.send(at(0), frame).unwrap();
            }
            pair.carry(at(0), slice).unwrap();
            let expected: Vec<_> = frames.into_iter().map(LinkEvent::Frame).collect();
            assert_eq!(pair.at_acceptor, expected, "slice {slice}");
            assert_ne!(pair.dialer.session(), 0);
            assert_eq!(pair.dialer.session(), pair.acceptor.session());
            assert!(pair.acceptor.is_authenticated());
        }
    }
}

#[test]
fn a_ping_is_answered_by_the_link_itself() {
    for security in both() {
        let mut pair = Pair::standing(&security);
        pair.dialer.send(at(1), &Frame::Ping(9)).unwrap();
        pair.carry(at(1), usize::MAX).unwrap();
        assert_eq!(pair.at_acceptor, []);
        assert_eq!(pair.at_dialer, [LinkEvent::Frame(Frame::Pong(9))]);
    }
}

#[test]
fn a_wrong_cookie_is_refused_and_both_sides_know_it() {
    let mut pair = Pair::new(&cookie("one"), &cookie("another"));
    pair.dialer.send(at(0), &hello("app@10.0.0.1")).unwrap();
    assert_eq!(pair.carry(at(0), usize::MAX), Err(CloseReason::WrongCookie));
    let status = pair
        .acceptor
        .close(at(0), &CloseReason::WrongCookie)
        .unwrap();
    pair.dialer
        .receive(at(0), &status, &mut pair.guard, &mut pair.at_dialer)
        .unwrap();
    assert_eq!(
        pair.at_dialer,
        [LinkEvent::Frame(Frame::Close(CloseReason::WrongCookie))]
    );
    assert_eq!(pair.at_acceptor, []);
}

#[test]
fn silence_is_told_after_half_the_tick_time_and_ends_the_link_after_all_of_it() {
    for security in both() {
        let mut link = Pair::standing(&security).dialer;
        let (mut events, mut told) = (Vec::new(), Vec::new());
        let ended = loop {
            let now = link.deadline().unwrap();
            if let Err(reason) = link.tick(now, &mut events) {
                break (now, reason);
            }
            told.extend(events.drain(..).map(|event| (now, event)));
        };
        assert_eq!(told, [(at(30), LinkEvent::Silent)]);
        assert_eq!(ended, (Instant::ZERO + T, CloseReason::Silent));
    }
}
