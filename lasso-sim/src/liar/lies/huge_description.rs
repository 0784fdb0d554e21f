//! A liar that says far too much of itself, again and again.

use lasso_core::codec::kind;
use lasso_core::link::LaneId;

use super::{Entry, Lie};
use crate::liar::Says;

pub(super) const ENTRY: Entry = Entry {
    name: "huge_description",
    summary: "describes itself with ids of 300 bytes and 60 KB, again and again",
    weight: 2,
    make: || Box::<HugeDescription>::default(),
};

/// The first is small enough for a frame, and too long for an id.
const ID_BYTES: [u16; 2] = [300, 60_000];

#[derive(Debug, Default)]
struct HugeDescription {
    ticks: usize,
}

impl Lie for HugeDescription {
    fn tick(&mut self, says: &mut Says<'_>) {
        let bytes = ID_BYTES[self.ticks % ID_BYTES.len()];
        self.ticks += 1;
        says.raw(LaneId::Control, kind::DESCRIPTION, &description(bytes));
    }
}

/// News of itself in MessagePack, in the fields of a description.
fn description(id_bytes: u16) -> Vec<u8> {
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
    body.push(ARRAY);
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
const ARRAY: u8 = 0x90;
const STR: u8 = 0xa0;
const STR_16: u8 = 0xda;
const TRUE: u8 = 0xc3;
