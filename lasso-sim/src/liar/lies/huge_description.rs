//! A liar that sends far too long descriptions of itself, again and again.

use lasso_core::codec::kind;
use lasso_core::link::LaneId;

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "huge_description",
    summary: "describes itself with 33 roles and with an id of 60 KB, again and again",
    weight: 2,
    make: || Box::<HugeDescription>::default(),
};

/// Bytes of the id and number of roles: one role too many, then an id that is far too long.
const DESCRIPTIONS: [(u16, u8); 2] = [(4, 33), (60_000, 0)];

#[derive(Debug, Default)]
struct HugeDescription {
    ticks: usize,
}

impl Lie for HugeDescription {
    fn tick(&mut self, says: &mut Says<'_>) {
        let (id_bytes, roles) = DESCRIPTIONS[self.ticks % DESCRIPTIONS.len()];
        self.ticks += 1;
        says.raw(
            LaneId::Control,
            kind::DESCRIPTION,
            &description(id_bytes, roles),
        );
    }
}

/// An update of its description, in MessagePack.
fn description(id_bytes: u16, roles: u8) -> Vec<u8> {
    let mut body = vec![MAP | 3];
    word("id", &mut body);
    body.push(0);
    word("description", &mut body);
    body.push(MAP | 4);
    word("id", &mut body);
    body.push(STR_16);
    body.extend_from_slice(&id_bytes.to_be_bytes());
    body.resize(body.len() + usize::from(id_bytes), b'x');
    word("region", &mut body);
    word("nowhere", &mut body);
    word("roles", &mut body);
    body.extend_from_slice(&[ARRAY_16, 0, roles]);
    (0..roles).for_each(|role| word(&format!("role-{role}"), &mut body));
    word("version", &mut body);
    word("1.0.0", &mut body);
    word("ready", &mut body);
    body.push(TRUE);
    body
}

fn word(text: &str, out: &mut Vec<u8>) {
    out.push(STR | text.len() as u8);
    out.extend_from_slice(text.as_bytes());
}

// MessagePack's first bytes of short maps, arrays and texts, of a long text, and of `true`.
const MAP: u8 = 0x80;
const ARRAY_16: u8 = 0xdc;
const STR: u8 = 0xa0;
const STR_16: u8 = 0xda;
const TRUE: u8 = 0xc3;
