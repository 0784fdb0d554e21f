//! `stranger`: a stranger, who is no node, connects: `stranger = { to = "a", sends = "garbage" }`, `stranger =
//! { to = "a", sends = "nothing", connections = 300, leaves_after = "1s" }`.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

use bytes::Bytes;
use lasso_core::secure::{Cookie, Dialing, FIRST_BYTES, Security};

use super::{Entry, Verb, keys};
use crate::scenario::{NodeId, Reader, Scenario, Value, address};
use crate::world::{Ability, Opening, Refusal, Stranger, World};

pub(super) const ENTRY: Entry = Entry {
    key: "stranger",
    summary: "makes a stranger connect and send bytes that no node sends",
    ranges: &[],
    parse,
};

/// The default address of strangers.
const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));
/// Most connections at once, of one order.
const CONNECTIONS_MAX: i64 = 10_000;

/// The bytes that a stranger sends.
#[derive(Debug, Clone, Copy)]
enum Sends {
    /// No byte.
    Nothing,
    /// Bytes of no protocol.
    Garbage,
    /// The beginning of a good first message.
    Half,
    /// A first message of another major version.
    OtherVersion,
    /// A first message that is sealed with another secret.
    WrongCookie,
    /// A good first message, then nothing: a peer with the secret that goes silent.
    FirstOnly,
    /// A good first message, then a record that is too long.
    TooLong,
    /// A good first message, then a record that no key opens.
    BadRecord,
    /// The first message of an honest node, once more.
    Replay,
}

#[derive(Debug)]
struct Visit {
    targets: Vec<NodeId>,
    sends: Sends,
    from: IpAddr,
    connections: u32,
    leaves_after: Option<Duration>,
}

fn parse(value: &Value, reader: &mut Reader<'_>) -> Option<Box<dyn Verb>> {
    let wanted = "a table such as `{ to = \"a\", sends = \"garbage\" }`";
    let mut keys = reader.fields(value, wanted)?;
    let targets = keys
        .need(reader, "to")
        .and_then(|value| reader.nodes(value));
    let choices = [
        ("nothing", Sends::Nothing),
        ("garbage", Sends::Garbage),
        ("half", Sends::Half),
        ("other_version", Sends::OtherVersion),
        ("wrong_cookie", Sends::WrongCookie),
        ("first_only", Sends::FirstOnly),
        ("too_long", Sends::TooLong),
        ("bad_record", Sends::BadRecord),
        ("replay", Sends::Replay),
    ];
    let sends = keys
        .need(reader, "sends")
        .and_then(|value| reader.choice(value, &choices));
    let from = keys
        .take("from")
        .map_or(Some(FROM), |value| address(reader, value));
    let connections = keys.take("connections");
    let connections =
        connections.map_or(Some(1), |value| reader.integer(value, 1, CONNECTIONS_MAX));
    let leaves_after = keys
        .take("leaves_after")
        .and_then(|value| reader.duration(value));
    keys.finish(reader, "`stranger`");
    Some(Box::new(Visit {
        targets: targets?,
        sends: sends?,
        from: from?,
        connections: connections? as u32,
        leaves_after,
    }))
}

impl Visit {
    fn opening(&self, scenario: &Scenario, target: NodeId) -> Opening {
        let good = || first_message(scenario, target, None);
        let bytes: Vec<u8> = match self.sends {
            Sends::Replay => return Opening::Replay,
            Sends::Nothing => Vec::new(),
            Sends::Garbage => b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".repeat(4),
            Sends::Half => good()[..FIRST_BYTES / 2].to_vec(),
            Sends::OtherVersion => {
                let mut first = good();
                first[MAJOR_AT] = first[MAJOR_AT].wrapping_add(1);
                first
            }
            Sends::WrongCookie => first_message(
                scenario,
                target,
                Some("another secret, of 32 bytes.....".as_bytes()),
            ),
            Sends::FirstOnly => good(),
            Sends::TooLong => {
                let mut first = good();
                first.extend([0xff; 64]);
                first
            }
            Sends::BadRecord => {
                let mut first = good();
                first.extend([0, RECORD_BYTES]);
                first.extend([0x5a; RECORD_BYTES as usize]);
                first
            }
        };
        Opening::Bytes(Bytes::from(bytes))
    }
}

/// The length of a record that does not open.
const RECORD_BYTES: u8 = 64;
/// Where the preamble holds the major version.
const MAJOR_AT: usize = 5;

/// The first message of a node with that secret; by default the target's own.
fn first_message(scenario: &Scenario, target: NodeId, cookie: Option<&[u8]>) -> Vec<u8> {
    let spec = scenario.node(target);
    let security = if scenario.null_cipher {
        Security::InsecureNull
    } else {
        let current = Cookie::new(cookie.unwrap_or(spec.cookie.as_bytes()));
        Security::Cookie {
            current,
            previous: None,
        }
    };
    // Any seed will do; a fixed one keeps runs alike, one per target keeps them apart.
    let mut seed = [0x5a; 32];
    seed[..4].copy_from_slice(&target.0.to_be_bytes());
    Dialing::start(&security, seed).1.to_vec()
}

impl Verb for Visit {
    fn needs(&self) -> Vec<Ability> {
        vec![Ability::Stranger]
    }

    fn apply(&self, scenario: &Scenario, world: &mut dyn World) -> Result<(), Refusal> {
        self.targets.iter().try_for_each(|target| {
            world.stranger(&Stranger {
                to: *target,
                from: self.from,
                connections: self.connections,
                opening: self.opening(scenario, *target),
                leaves_after: self.leaves_after,
            })
        })
    }

    fn describe(&self, scenario: &Scenario) -> String {
        let targets = keys(scenario, &self.targets);
        format!(
            "stranger {} sends {:?} to {targets}, {} times",
            self.from, self.sends, self.connections
        )
    }
}
