//! What holds for any sequence of inputs.

use proptest::prelude::*;

use super::*;

use crate::link::Link;

/// One step of a script: some time passes, then something happens.
#[derive(Debug, Clone)]
struct Step {
    after_ms: u64,
    input: Input,
}

fn conn() -> impl Strategy<Value = ConnId> {
    prop_oneof![
        (0..6u64).prop_map(ConnId::In),
        (0..6u64).prop_map(ConnId::Out)
    ]
}

/// Bytes that begin well and go wrong somewhere, or are noise from the start.
fn hostile() -> impl Strategy<Value = Bytes> {
    let noise = prop::collection::vec(any::<u8>(), 1..200);
    let first = prop_oneof![
        Just(Vec::new()),
        Just(b"lasso".to_vec()),
        Just(first_message())
    ];
    (first, noise, any::<bool>(), 0..60usize).prop_map(|(mut first, noise, spoil, at)| {
        if let (true, Some(byte)) = (spoil, first.get_mut(at)) {
            *byte ^= 1;
        }
        first.extend(noise);
        first.into()
    })
}

/// A real first message, of somebody who knows the secret and then talks nonsense.
fn first_message() -> Vec<u8> {
    let config = config(7);
    let settings = &config.settings.link;
    let mut link = Link::new(
        Instant::ZERO,
        crate::link::Role::Dialer,
        &config.security,
        settings,
        [9; 32],
    );
    link.poll_transmit(Instant::ZERO)
        .expect("a dialler speaks first")
        .to_vec()
}

fn input() -> impl Strategy<Value = Input> {
    let from = (0..4u8).prop_map(|n| SocketAddr::new([10, 0, 0, n].into(), 4000));
    let families = prop_oneof![Just(Family::A), Just(Family::Aaaa), Just(Family::Srv)];
    let addresses = prop::collection::vec((0..5u8, any::<bool>()), 0..4).prop_map(|list| {
        let address = |(n, port): (u8, bool)| ([10, 0, 0, n].into(), port.then_some(9155));
        list.into_iter().map(address).collect()
    });
    let answers = prop_oneof![
        Just(DnsAnswer::Empty),
        Just(DnsAnswer::Failed("no route".into())),
        (addresses, any::<bool>()).prop_map(|(addresses, truncated)| DnsAnswer::Addresses {
            addresses,
            truncated
        }),
    ];
    prop_oneof![
        3 => Just(Input::Tick),
        2 => (0..6u64, from).prop_map(|(n, from)| Input::Accepted { conn: ConnId::In(n), from }),
        2 => conn().prop_map(|conn| Input::Connected { conn }),
        4 => (conn(), hostile()).prop_map(|(conn, bytes)| Input::Received { conn, bytes }),
        1 => (conn(), 0..500usize).prop_map(|(conn, bytes)| Input::Written { conn, bytes }),
        1 => conn().prop_map(|conn| Input::Closed { conn, error: NetError::Reset }),
        2 => (0..2u32, families, answers).prop_map(|(query, family, answer)| Input::Resolved {
            query: QueryId(query),
            family,
            answer
        }),
        1 => any::<bool>().prop_map(|ready| Input::Command(Command::SetReady(ready))),
    ]
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    let step = (0..3000u64, input()).prop_map(|(after_ms, input)| Step { after_ms, input });
    prop::collection::vec(step, 0..60)
}

/// Accepted numbers are never used again, which random scripts do not know.
fn renumbered(script: Vec<Step>) -> Vec<Step> {
    let mut seen = BTreeSet::new();
    let fresh = |step: &Step| match &step.input {
        Input::Accepted { conn, .. } => seen.insert(*conn),
        _ => true,
    };
    script.into_iter().filter(fresh).collect()
}

fn node() -> Node {
    Node::new(config(0), [3; 32], 1000).expect("settings are good")
}

fn drain(node: &mut Node) -> Vec<Output> {
    std::iter::from_fn(|| node.poll_output()).collect()
}

fn run(script: &[Step], at_once: bool) -> Vec<Output> {
    let (mut node, mut now, mut outputs) = (node(), Instant::ZERO, Vec::new());
    for step in script {
        now += Duration::from_millis(step.after_ms);
        node.handle(now, step.input.clone());
        if at_once {
            outputs.extend(drain(&mut node));
        }
    }
    outputs.extend(drain(&mut node));
    outputs
}

proptest! {
    #[test]
    fn draining_late_gives_the_same_outputs(script in script()) {
        let script = renumbered(script);
        prop_assert_eq!(run(&script, true), run(&script, false));
    }

    #[test]
    fn a_journal_of_inputs_replays_a_run_exactly(script in script()) {
        let script = renumbered(script);
        let journal: Vec<String> = script
            .iter()
            .map(|step| serde_json::to_string(&step.input).expect("inputs can be written"))
            .collect();
        let read = |(step, line): (&Step, &String)| Step {
            after_ms: step.after_ms,
            input: serde_json::from_str(line).expect("inputs can be read back"),
        };
        let replayed: Vec<Step> = script.iter().zip(&journal).map(read).collect();
        prop_assert_eq!(run(&script, true), run(&replayed, true));
    }

    #[test]
    fn nobody_without_the_secret_changes_anything_but_counters(script in script()) {
        let (mut node, mut now) = (node(), Instant::ZERO);
        for step in renumbered(script) {
            now += Duration::from_millis(step.after_ms);
            node.handle(now, step.input);
            let outputs = drain(&mut node);
            let event = |output: &&Output| matches!(output, Output::Event(_));
            prop_assert_eq!(outputs.iter().find(event), None);
            prop_assert_eq!(node.links().count(), 0);
            prop_assert_eq!(node.topology().members().count(), 0);
            prop_assert_eq!(node.topology().epoch(), 0);
        }
    }

    #[test]
    fn a_tick_at_the_deadline_moves_the_deadline(script in script()) {
        let (mut node, mut now) = (node(), Instant::ZERO);
        for step in renumbered(script) {
            now += Duration::from_millis(step.after_ms);
            node.handle(now, step.input);
            drain(&mut node);
            let mut ticks = 0;
            while node.poll_timeout().is_some_and(|deadline| deadline <= now) {
                node.handle(now, Input::Tick);
                ticks += 1;
                prop_assert!(ticks < 10, "a deadline that does not pass: {:?}", node.poll_timeout());
            }
        }
    }
}
