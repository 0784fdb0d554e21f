//! What peers that want too much cannot take from a node, over real sockets on loopback.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use lasso_core::codec::kind;
use lasso_core::config::{LinkSettings, Settings};
use lasso_core::frame::{Frame, Hello, VERSION_MAX, VERSION_MIN};
use lasso_core::link::{LaneId, Link, LinkEvent, Role};
use lasso_core::name::{Identity, Incarnation, Label};
use lasso_core::secure::{Cookie, ReplayGuard, Security};
use lasso_core::time::Instant;
use lasso_net::Cluster;
use lasso_net::messaging::{Audience, Update};

use crate::common::{COOKIE, builder, nodes_with, soon};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn a_subscription_that_is_refused_says_by_whom_and_recovers() {
    let narrow = |host| {
        let mut settings = Settings::default();
        settings.pubsub.topics_max = if host == 1 { 1 } else { 65_536 };
        builder(231, host, 2).settings(settings).start()
    };
    let (a, b) = (narrow(1).await.unwrap(), narrow(2).await.unwrap());
    b.wait_for(2, common::SOON).await.unwrap();
    let mut first = b.subscribe_raw("first").unwrap();
    soon(first.subscribed()).await;
    let mut second = b.subscribe_raw("second").unwrap();
    soon(async {
        while second.refused_by().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(second.refused_by(), [a.name()]);
    assert_eq!(first.refused_by(), []);
    let reach = a.publish_raw("second", "lost", Audience::All).unwrap();
    assert_eq!(reach.nodes, 0);
    // There is room again, and it is asked again.
    drop(first);
    soon(second.subscribed()).await;
    assert_eq!(second.refused_by(), []);
    a.publish_raw("second", "heard", Audience::All).unwrap();
    let Some(Update::Message(message)) = soon(second.recv()).await else {
        panic!("nothing was missed");
    };
    assert_eq!(&message.payload[..], b"heard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_with_twenty_names_and_endless_messages_takes_a_bounded_share() {
    let nodes = nodes_with(232, 2, |builder| builder).await;
    let [a, b] = &nodes[..] else { panic!() };
    let mut news = a.subscribe_raw("news").unwrap();
    soon(news.subscribed()).await;
    let to = a.name().address();
    let attack = tokio::task::spawn_blocking(move || {
        let mut members: Vec<Member> = (1..=20).map(|n| Member::join(to, n)).collect();
        members.iter_mut().for_each(|member| member.begin(4 * MIB));
        members
    });
    let members = soon(attack).await.unwrap();
    soon(async {
        // Sixteen give way to the four that find room.
        while unfinished(a).1 < 16 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (held, _) = unfinished(a);
    assert!(held <= 64 * MIB, "{held} bytes are held");
    let large = vec![7; 16 * MIB - 1024];
    b.publish_raw("news", large.clone(), Audience::All).unwrap();
    let Some(Update::Message(message)) = soon(news.recv()).await else {
        panic!("the message comes in spite of them");
    };
    assert!(message.payload == large);
    drop(members);
    soon(async {
        while unfinished(a).0 > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Bytes of unfinished messages, and how many gave way.
fn unfinished(node: &Cluster) -> (usize, u64) {
    node.inspect(|node| (node.unfinished_bytes(), node.unfinished().shed))
}

/// Holds the cookie, and does not keep to the protocol.
struct Member {
    link: Link,
    stream: TcpStream,
}

impl Member {
    /// Links up under the n-th name.
    fn join(to: SocketAddr, n: u8) -> Self {
        let security = Security::Cookie {
            current: Cookie::new(COOKIE),
            previous: None,
        };
        let settings = LinkSettings::default();
        let (now, security) = (Instant::ZERO, Arc::new(security));
        let link = Link::new(now, Role::Dialer, &security, &settings, [n; 32]);
        let stream = TcpStream::connect(to).expect("links are taken");
        let mut member = Member { link, stream };
        let name = format!("app@127.0.232.9:{}", 20_000 + u16::from(n));
        let hello = Hello {
            identity: Identity {
                cluster: Label::new("cluster", "lasso").expect("a label"),
                name: name.parse().expect("a name"),
                incarnation: Incarnation(1),
            },
            version_min: VERSION_MIN,
            version_max: VERSION_MAX,
            features: Default::default(),
            tick_ms: 60_000,
            probe: false,
        };
        member.say(&Frame::Hello(hello));
        let (mut guard, mut bytes) = (ReplayGuard::new(), vec![0; 64 << 10]);
        loop {
            let read = member.stream.read(&mut bytes).expect("the link stands");
            assert!(read > 0, "the node has closed the connection");
            let mut events = Vec::new();
            let link = &mut member.link;
            link.receive(now, &bytes[..read], &mut guard, &mut events)
                .expect("nodes keep to the protocol");
            // The handshake has gone on, maybe.
            member.flush();
            for event in events {
                match event {
                    LinkEvent::Frame(Frame::Hello(_)) => member.say(&Frame::Offer),
                    LinkEvent::Frame(Frame::Adopt) => {
                        member.link.established(now);
                        member.flush();
                        return member;
                    }
                    LinkEvent::Frame(Frame::Close(reason)) => panic!("{n}: {reason}"),
                    _ => {}
                }
            }
        }
    }

    /// Sends so many bytes of a call of 16 MiB. Control goes out at once; calls would wait for answers that
    /// this member does not read.
    fn begin(&mut self, bytes: usize) {
        let mut start = head(kind::CALL, 16 << 20);
        start.resize(bytes, 1);
        for part in start.chunks(60_000) {
            let body = [&[LaneId::Calls as u8, 0], part].concat();
            let frame = [head(kind::PIECE, body.len()), body].concat();
            let pushed =
                self.link
                    .lanes()
                    .lock()
                    .push(LaneId::Control, &frame, &Default::default());
            pushed.expect("the lane is empty").wake();
            self.flush();
        }
    }

    fn say(&mut self, frame: &Frame) {
        let said = self.link.send(Instant::ZERO, frame);
        said.expect("the lane has room");
        self.flush();
    }

    fn flush(&mut self) {
        while let Some(bytes) = self.link.poll_transmit(Instant::ZERO) {
            self.stream.write_all(&bytes).expect("the node reads");
            self.link.written(Instant::ZERO, bytes.len());
        }
    }
}

/// The kind and the length of a frame.
fn head(kind: u8, mut length: usize) -> Vec<u8> {
    let mut head = vec![kind];
    while length >= 0x80 {
        head.push(length as u8 | 0x80);
        length >>= 7;
    }
    head.push(length as u8);
    head
}
