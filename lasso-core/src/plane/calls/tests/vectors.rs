//! The bytes: test vectors of `docs/protocol.md`, and bodies that are none.

use super::*;
use crate::plane::calls::wire::{self, Verdict};

const DOC: &str = include_str!("../../../../../docs/protocol.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn call_frame(call: u64, remaining: Duration, method: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::put_call(&mut frame, call, remaining, method, payload.len());
    frame.extend_from_slice(payload);
    frame
}

fn answer_frame(call: u64, verdict: &Verdict) -> Vec<u8> {
    let mut frame = Vec::new();
    wire::put_answer(&mut frame, call, verdict);
    if let Verdict::Done(payload) = verdict {
        frame.extend_from_slice(payload);
    }
    frame
}

fn body(frame: &[u8]) -> Bytes {
    let (raw, rest) = codec::split(frame).unwrap();
    assert!(rest.is_empty());
    Bytes::copy_from_slice(raw.body)
}

fn verdicts() -> [(&'static str, Verdict); 5] {
    [
        ("done", Verdict::Done(Bytes::from_static(b"world"))),
        ("no such method", Verdict::NoSuchMethod),
        ("overloaded", Verdict::Overloaded),
        ("rejected", Verdict::Rejected(rejected(404, "gone"))),
        ("malformed", Verdict::Malformed("why".into())),
    ]
}

#[test]
fn the_test_vectors_of_the_protocol_are_what_calls_say() {
    let five = Duration::from_secs(5);
    let mut said = vec![
        ("call".to_owned(), call_frame(300, five, "echo", b"hello")),
        (
            "call empty".to_owned(),
            call_frame(0, Duration::from_nanos(1), "m", b""),
        ),
    ];
    for (name, verdict) in verdicts() {
        said.push((format!("answer {name}"), answer_frame(300, &verdict)));
    }
    for (name, verdict) in &verdicts()[1..] {
        let mut frame = Vec::new();
        wire::put_refused(&mut frame, 300, verdict);
        said.push((format!("refused {name}"), frame));
    }
    let section = DOC.split("\n### ").find(|text| text.starts_with("Calls\n"));
    let section = section.and_then(|text| text.split("\n## ").next());
    let section = section.expect("a section on calls");
    let lines: Vec<_> = said
        .iter()
        .map(|(name, frame)| format!("{name} = {}", hex(frame)))
        .collect();
    let documented: Vec<_> = section
        .lines()
        .filter(|line| line.contains(" = "))
        .collect();
    assert!(documented == lines, "must have:\n{}", lines.join("\n"));
}

#[test]
fn what_is_written_reads_back() {
    for call in [0, 127, 128, u64::from(u32::MAX), u64::MAX] {
        for millis in [0, 1, 5000, u64::MAX] {
            let remaining = Duration::from_millis(millis);
            let body = body(&call_frame(call, remaining, "method", b"payload"));
            let head = wire::read_call(&body).unwrap();
            assert_eq!((head.call, head.remaining), (call, remaining));
            assert_eq!(head.method, "method");
            assert_eq!(&body[head.payload_at..], b"payload");
        }
        for (_, verdict) in verdicts() {
            let read = wire::read_answer(body(&answer_frame(call, &verdict)));
            assert_eq!(read, Ok((call, verdict)));
        }
    }
}

#[test]
fn a_part_of_a_millisecond_counts_as_a_whole_one() {
    for (nanos, millis) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
        let body = body(&call_frame(0, Duration::from_nanos(nanos), "m", b""));
        let head = wire::read_call(&body).unwrap();
        assert_eq!(head.remaining, Duration::from_millis(millis));
    }
}

#[test]
fn bodies_that_are_no_call_are_malformed() {
    let long = [&[1, 1, 129][..], &[b'm'; 129]].concat();
    let table: [(&str, &[u8]); 9] = [
        ("nothing", &[]),
        ("no time", &[1]),
        ("no method", &[1, 1]),
        ("an empty method", &[1, 1, 0]),
        ("a method that is cut off", &[1, 1, 3, b'm', b'm']),
        ("a method that is no text", &[1, 1, 1, 0xff]),
        ("a method that is too long", &long),
        ("a number without an end", &[0x80; 20]),
        (
            "a number beyond 64 bits",
            &[255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 1, 1, b'm'],
        ),
    ];
    for (what, body) in table {
        assert_eq!(wire::read_call(body), Err(codec::Malformed), "{what}");
    }
}

#[test]
fn bodies_that_are_no_answer_are_malformed() {
    let table: [(&str, &'static [u8]); 5] = [
        ("nothing", &[]),
        ("no status", &[1]),
        ("a rejection without its code", &[1, 3, 0, 0, 0]),
        ("a rejection that is no text", &[1, 3, 0, 0, 0, 1, 0xff]),
        ("a reason that is no text", &[1, 4, 0xff]),
    ];
    for (what, body) in table {
        let read = wire::read_answer(Bytes::from_static(body));
        assert_eq!(read, Err(codec::Malformed), "{what}");
    }
}

#[test]
fn what_a_later_release_adds_is_understood_as_far_as_it_goes() {
    let read = |body: &'static [u8]| wire::read_answer(Bytes::from_static(body));
    let status = read(&[7, 200, 1, 2, 3]);
    assert_eq!(
        status,
        Ok((7, Verdict::Unknown(200))),
        "an unknown status is no answer"
    );
    let more = read(&[7, 1, 9, 9]);
    assert_eq!(
        more,
        Ok((7, Verdict::NoSuchMethod)),
        "what is left over is skipped"
    );
}

#[test]
fn a_rejection_is_cut_where_a_character_ends_by_whoever_reads_it() {
    let message = format!("a{}", "ä".repeat(5000));
    let body = [&[7, 3, 0, 0, 0, 1][..], message.as_bytes()].concat();
    let (_, verdict) = wire::read_answer(body.into()).unwrap();
    let Verdict::Rejected(reject) = verdict else {
        panic!("{verdict:?}");
    };
    assert_eq!(reject.message, message[..1023]);
}
