//! The test vectors of `docs/protocol.md`, read from its text.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::codec::kind;
use crate::frame::{MissedRange, PubSubFrame, StreamStart};
use crate::name::Description;
use crate::plane::pubsub::Row;
use crate::secure::{TAG_BYTES, refusal_reason};

const DOC: &str = include_str!("../../../../docs/protocol.md");
const COOKIE: &str = "correct horse battery staple 1234";
const DIALER_SEED: [u8; 32] = [1; 32];
const ACCEPTOR_SEED: [u8; 32] = [2; 32];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines `name = hex` of the section on test vectors; a line that begins with a space goes on
/// with the value before it.
fn documented() -> BTreeMap<String, String> {
    let (_, section) = DOC
        .split_once("## Test vectors")
        .expect("a section on test vectors");
    let mut vectors = BTreeMap::new();
    let mut last = String::new();
    let mut inside = false;
    for line in section.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if let (true, Some((name, value))) = (inside, line.split_once(" = ")) {
            last = name.trim().to_owned();
            vectors.insert(last.clone(), value.to_owned());
        } else if inside {
            vectors
                .entry(last.clone())
                .and_modify(|value| value.push_str(line.trim()));
        }
    }
    vectors
}

/// The private key that a handshake draws from a seed.
fn private_key(seed: [u8; 32]) -> [u8; 32] {
    let mut key = [0; 32];
    ChaCha20Rng::from_seed(seed).fill_bytes(&mut key);
    key
}

fn text(frames: &[Frame]) -> Vec<u8> {
    let mut text = Vec::new();
    frames
        .iter()
        .for_each(|frame| codec::encode(frame, &mut text));
    text
}

/// A handshake and the first records, as they go over the wire.
fn conversation() -> Vec<(String, Vec<u8>)> {
    let cookie = Cookie::new(COOKIE);
    let key = cookie.key().to_vec();
    let security = Arc::new(Security::Cookie {
        current: cookie,
        previous: None,
    });
    let settings = LinkSettings::default();
    let mut dialer = Link::new(at(0), Role::Dialer, &security, &settings, DIALER_SEED);
    let mut acceptor = Link::new(at(0), Role::Acceptor, &security, &settings, ACCEPTOR_SEED);
    let (mut guard, mut events) = (ReplayGuard::new(), Vec::new());
    let mut said = vec![
        ("cookie".to_owned(), COOKIE.as_bytes().to_vec()),
        ("key".to_owned(), key),
        (
            "dialer private key".to_owned(),
            private_key(DIALER_SEED).to_vec(),
        ),
        (
            "acceptor private key".to_owned(),
            private_key(ACCEPTOR_SEED).to_vec(),
        ),
    ];
    let first = dialer.poll_transmit(at(0)).unwrap();
    let (preamble, message) = first.split_at(crate::secure::PREAMBLE_BYTES);
    said.push(("preamble".to_owned(), preamble.to_vec()));
    said.push(("first message".to_owned(), message.to_vec()));
    acceptor
        .receive(at(0), &first, &mut guard, &mut events)
        .unwrap();
    let answer = acceptor.poll_transmit(at(0)).unwrap();
    said.push(("status".to_owned(), answer[..1].to_vec()));
    said.push(("second message".to_owned(), answer[1..].to_vec()));
    dialer
        .receive(at(0), &answer, &mut guard, &mut events)
        .unwrap();
    said.push((
        "session".to_owned(),
        dialer.session().to_be_bytes().to_vec(),
    ));

    let turns: [(bool, Vec<Frame>); 4] = [
        (true, vec![hello("app@10.0.0.1")]),
        (false, vec![hello("app@10.0.0.2")]),
        (false, vec![Frame::Offer]),
        (true, vec![Frame::Adopt, Frame::Ping(7)]),
    ];
    for (number, (dials, frames)) in turns.into_iter().enumerate() {
        let (from, to, who) = match dials {
            true => (&mut dialer, &mut acceptor, "dialer"),
            false => (&mut acceptor, &mut dialer, "acceptor"),
        };
        frames
            .iter()
            .for_each(|frame| from.send(at(0), frame).unwrap());
        let record = from.poll_transmit(at(0)).unwrap();
        to.receive(at(0), &record, &mut guard, &mut events).unwrap();
        let text = text(&frames);
        assert_eq!(record.len(), LENGTH_BYTES + text.len() + TAG_BYTES);
        said.push((format!("{who} text {number}"), text));
        said.push((format!("{who} record {number}"), record.to_vec()));
    }
    said
}

/// One of each control frame about topics.
fn pubsub_frames() -> [(&'static str, Frame); 4] {
    let topics = |topics: &[&str]| topics.iter().map(|&topic| topic.to_owned()).collect();
    let streams = StreamStart {
        topic: "chat".into(),
        stream: 3,
        last_all: 300,
        last_directed: 0,
    };
    let missed = |row, from| MissedRange {
        stream: 3,
        row,
        from,
        to: 302,
    };
    let interest = |add, remove| PubSubFrame::Interest { add, remove };
    let dropped = vec![missed(Row::All, 301), missed(Row::Directed, 1)];
    [
        ("interest", interest(topics(&["a", "chat"]), topics(&[]))),
        ("interest gone", interest(topics(&[]), topics(&["a"]))),
        ("streams", PubSubFrame::Streams(vec![streams])),
        ("missed", PubSubFrame::Missed(dropped)),
    ]
    .map(|(name, frame)| (name, Frame::PubSub(frame)))
}

/// One of each frame.
fn frames() -> Vec<(String, Vec<u8>)> {
    let label = |text| Label::new("label", text).unwrap();
    let description = Description {
        id: label("10.0.0.5"),
        region: label("iad"),
        roles: BTreeSet::from([label("ingestor"), label("web")]),
        version: label("1.2.3"),
    };
    let topology = |frame| Frame::Topology(frame);
    let names = ["app@10.0.0.1", "app@10.0.0.2:4000", "app@[fdaa::3]"];
    let view = Some(names.map(|name| name.parse().unwrap()).to_vec());
    let stale = CloseReason::StaleIncarnation {
        known: Incarnation(1_769_248_800_000),
    };
    let mut frames: Vec<_> = [
        ("hello", hello("app@[fdaa::3]:4000")),
        ("offer", Frame::Offer),
        ("adopt", Frame::Adopt),
        ("close left", Frame::Close(CloseReason::Left)),
        ("close stale", Frame::Close(stale)),
        (
            "close cluster",
            Frame::Close(CloseReason::OtherCluster {
                theirs: label("other"),
            }),
        ),
        ("heartbeat", Frame::Heartbeat),
        ("ping", Frame::Ping(7)),
        ("pong", Frame::Pong(7)),
        ("taken", Frame::Taken(7)),
        ("describe", topology(TopologyFrame::Describe { id: 1 })),
        (
            "description",
            topology(TopologyFrame::Description {
                id: 1,
                description,
                ready: true,
            }),
        ),
        ("ready", topology(TopologyFrame::Ready(true))),
        (
            "check",
            topology(TopologyFrame::Check {
                id: 300,
                known: Some(vec![u64::MAX]),
            }),
        ),
        (
            "check no view",
            topology(TopologyFrame::Check {
                id: 301,
                known: None,
            }),
        ),
        (
            "health",
            topology(TopologyFrame::Health {
                id: 300,
                ready: true,
                view_hash: 9,
                view,
            }),
        ),
    ]
    .into_iter()
    .chain(pubsub_frames())
    .map(|(name, frame)| (format!("frame {name}"), text(&[frame])))
    .collect();
    let mut piece = Vec::new();
    codec::put(
        kind::PIECE,
        &[&[0, 1], text(&[Frame::Offer]).as_slice()].concat(),
        &mut piece,
    );
    frames.push(("frame piece".to_owned(), piece));
    let message = crate::plane::pubsub::message_vector();
    frames.push(("frame message".to_owned(), message));
    frames
}

#[test]
fn the_test_vectors_of_the_protocol_are_what_links_say() {
    let said: BTreeMap<_, _> = conversation()
        .into_iter()
        .chain(frames())
        .map(|(name, bytes)| (name, hex(&bytes)))
        .collect();
    let lines: String = said
        .iter()
        .map(|(name, hex)| format!("{name} = {hex}\n"))
        .collect();
    assert!(documented() == said, "docs/protocol.md must have:\n{lines}");
}

#[test]
fn every_frame_of_the_test_vectors_reads_back() {
    let unhex = |hex: &str| -> Vec<u8> {
        let digits: Vec<u8> = hex
            .chars()
            .map(|digit| digit.to_digit(16).expect("hex digits") as u8)
            .collect();
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()
    };
    let documented = documented();
    let frames = documented
        .iter()
        .filter(|(name, _)| name.starts_with("frame "));
    let mut read = 0;
    for (name, hex) in frames {
        let bytes = unhex(hex);
        let (frame, rest) = codec::split(&bytes).unwrap();
        assert!(rest.is_empty(), "{name}");
        let known = codec::decode(frame).unwrap().is_some();
        let by_hand = [kind::PIECE, kind::MESSAGE].contains(&frame.kind);
        assert_eq!(known, !by_hand, "{name}");
        read += 1;
    }
    assert_eq!(read, 22);
}

/// The limits that the text names are those of the code.
#[test]
fn the_document_names_the_limits_and_the_reasons_that_hold() {
    for (what, number) in [
        ("Longest first record", FIRST_RECORD_BYTES_MAX),
        ("Longest text that lasso sends", TEXT_BYTES_MAX),
        ("Longest record", crate::secure::RECORD_BYTES_MAX),
        ("Longest message", LinkSettings::default().message_bytes_max),
        (
            "Control frames that wait",
            LinkSettings::default().control_lane_bytes,
        ),
    ] {
        let row = DOC
            .lines()
            .find(|line| line.starts_with(&format!("| {what} |")));
        let digits: String = row
            .unwrap_or_else(|| panic!("a row for `{what}`"))
            .split('|')
            .nth(2)
            .unwrap()
            .chars()
            .filter(char::is_ascii_digit)
            .collect();
        assert_eq!(digits, number.to_string(), "{what}");
    }
    for status in 1..=8 {
        let row = format!("| {status} | `{}` |", refusal_reason(status).name());
        assert!(DOC.contains(&row), "{row}");
    }
    for reason in codec::tests::every_reason() {
        assert!(
            DOC.contains(&format!("| `{}` |", reason.name())),
            "{reason}"
        );
    }
}
