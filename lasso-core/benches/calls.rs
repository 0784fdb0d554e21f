//! What a call costs apart from the link: `cargo bench -p lasso-core --bench calls`.
//!
//! Targets: `call_answer_64` under 400 ns, `serve_64` under 300 ns.

use bytes::Bytes;
use divan::{Bencher, black_box};
use lasso_core::codec::split;
use lasso_core::config::CallSettings;
use lasso_core::name::NodeName;
use lasso_core::node::ConnId;
use lasso_core::plane::calls::{Calls, Question};
use lasso_core::plane::{Answer, Effects, Outlet};
use lasso_core::time::Instant;

fn main() {
    divan::main();
}

/// A lane that holds the last frame.
#[derive(Default)]
struct Last(Vec<u8>);

impl Outlet for Last {
    fn calls(&mut self, _: ConnId, head: &[u8], payload: &Bytes, _: &mut Effects) -> bool {
        self.0.clear();
        self.0.extend_from_slice(head);
        self.0.extend_from_slice(payload);
        true
    }

    fn control(&mut self, _: ConnId, frame: &[u8], _: &mut Effects) -> bool {
        self.0.clear();
        self.0.extend_from_slice(frame);
        true
    }
}

const LINK: ConnId = ConnId::In(1);

fn name(number: u8) -> NodeName {
    format!("bench@10.0.0.{number}").parse().expect("a name")
}

fn side(me: u8, peer: u8) -> Calls {
    let mut calls = Calls::new(&CallSettings::default(), 16 << 20, name(me));
    calls.link_up(LINK, &name(peer));
    calls
}

/// An answer to the call with this number, as its body stands in a record.
fn answer_body(call: u64, payload: &[u8]) -> Bytes {
    let mut body = Vec::new();
    let mut rest = call;
    while rest >= 0x80 {
        body.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    body.extend_from_slice(&[rest as u8, 0]);
    body.extend_from_slice(payload);
    Bytes::from(body)
}

/// The asking side: call, on_answer, poll_call; so many calls wait meanwhile.
#[divan::bench(args = [0, 63, 1023])]
fn call_answer_64(bencher: Bencher<'_, '_>, beside: usize) {
    let (mut calls, mut out, mut fx) = (side(1, 2), Last::default(), Effects::default());
    let (to, payload) = (name(2), Bytes::from(vec![7; 64]));
    let question = Question {
        method: "ledger.balance",
        payload: &payload,
        timeout: None,
    };
    let mut waiting = std::collections::VecDeque::new();
    for _ in 0..beside {
        let id = calls.call(Instant::ZERO, &to, &question, &mut out, &mut fx);
        waiting.push_back(id.expect("linked"));
    }
    let mut next = beside as u64;
    let mut now = 0;
    // The number of the oldest call that waits is known, so that its answer is made beforehand.
    bencher
        .with_inputs(|| {
            let oldest = next - beside as u64;
            next += 1;
            answer_body(oldest, &[9; 64])
        })
        .bench_local_values(|body| {
            now += 1000;
            let at = Instant::from_nanos(now);
            let id = calls.call(at, black_box(&to), &question, &mut out, &mut fx);
            waiting.push_back(id.expect("linked"));
            calls.on_answer(LINK, body, &mut fx).expect("an answer");
            let oldest = waiting.pop_front().expect("one waits");
            let outcome = calls.poll_call(oldest, None).expect("answered");
            fx.wakes.clear();
            outcome
        });
}

/// The serving side: on_call, answer.
#[divan::bench]
fn serve_64(bencher: Bencher<'_, '_>) {
    let (mut asker, mut out, mut fx) = (side(1, 2), Last::default(), Effects::default());
    let mut calls = side(2, 1);
    calls.serve("ledger.balance").expect("a method");
    let payload = Bytes::from(vec![7; 64]);
    let question = Question {
        method: "ledger.balance",
        payload: &payload,
        timeout: None,
    };
    asker
        .call(Instant::ZERO, &name(2), &question, &mut out, &mut fx)
        .expect("linked");
    let (frame, _) = split(&out.0).expect("a frame");
    let body = Bytes::copy_from_slice(frame.body);
    bencher.bench_local(|| {
        let now = Instant::ZERO;
        calls
            .on_call(now, LINK, black_box(body.clone()), &mut out, &mut fx)
            .expect("a call");
        let request = fx.requests.pop().expect("served");
        calls.answer(request.id, Answer::Done(request.payload), &mut out, &mut fx);
    });
}
