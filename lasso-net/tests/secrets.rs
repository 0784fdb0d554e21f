//! What is left of keys in this process's memory.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use lasso_core::secure::Cookie;
use lasso_net::process;
use rustix::process::{DumpableBehavior, dumpable_behavior};

const SECRET: &str = "the cookie of a test of memory, of 44 bytes.";
/// The key derived from it (HKDF-SHA256, as `docs/protocol.md` has it), each bit turned around, so that
/// this is no copy of it.
const TURNED: [u8; 32] = [
    0xcd, 0xb2, 0x44, 0x16, 0xbe, 0xf8, 0xfe, 0x86, 0x6f, 0xca, 0xb2, 0xd3, 0x7a, 0x3f, 0x1b, 0x9f,
    0x83, 0xc6, 0x93, 0xac, 0x24, 0xd2, 0xc5, 0xf8, 0x42, 0x4d, 0xe0, 0x48, 0xe4, 0x27, 0x1c, 0x9f,
];

/// How often the key is in memory that this process can write to, without what `piece` is read into.
fn copies(piece: &mut [u8]) -> usize {
    let own = piece.as_ptr() as u64..piece.as_ptr() as u64 + piece.len() as u64;
    let memory = File::open("/proc/self/mem").expect("Linux has it");
    let maps = fs::read_to_string("/proc/self/maps").expect("Linux has it");
    let mut found = 0;
    for map in maps.lines().filter(|map| map.contains(" rw")) {
        let (range, _) = map.split_once(' ').expect("a range and more");
        let (start, end) = range.split_once('-').expect("two addresses");
        let address = |text| u64::from_str_radix(text, 16).expect("an address");
        let (mut at, end) = (address(start), address(end));
        while at < end {
            let length = piece.len().min((end - at) as usize);
            let Ok(length) = memory.read_at(&mut piece[..length], at) else {
                break;
            };
            let windows = piece[..length].windows(TURNED.len()).enumerate();
            let is_key = |window: &[u8]| window.iter().zip(TURNED).all(|(a, b)| *a == !b);
            let here = windows.filter(|(_, window)| is_key(window));
            found += here
                .filter(|(n, _)| !own.contains(&(at + *n as u64)))
                .count();
            if length < TURNED.len() {
                break;
            }
            // A key may lie across two pieces.
            at += if at + length as u64 == end {
                length
            } else {
                length - TURNED.len() + 1
            } as u64;
        }
    }
    piece.fill(0);
    found
}

/// What earlier calls have left on the stack is overwritten.
#[inline(never)]
fn scrub() {
    black_box([0_u8; 128 << 10]);
}

#[inline(never)]
fn cookies() -> Vec<Cookie> {
    let cookie = Cookie::new(SECRET);
    vec![cookie.clone(), cookie]
}

#[test]
fn a_key_is_gone_from_memory_once_its_cookie_is_dropped() {
    let mut piece = vec![0; 1 << 20];
    let cookies = cookies();
    scrub();
    let alive = copies(&mut piece);
    assert!(alive >= 2, "{alive}");
    drop(cookies);
    scrub();
    assert_eq!(copies(&mut piece), 0);
}

#[test]
fn core_dumps_can_be_turned_off() {
    process::forbid_core_dumps().expect("Linux can");
    let now = dumpable_behavior().expect("Linux tells");
    assert_eq!(now, DumpableBehavior::NotDumpable);
}

#[test]
fn the_limit_of_open_files_is_raised_as_far_as_the_system_allows() {
    let files = process::raise_open_files().expect("Linux can");
    assert!(files.now >= files.before);
    assert_eq!(process::open_files_max(), Some(files.now));
    let again = process::raise_open_files().expect("Linux can");
    assert_eq!((again.before, again.now), (files.now, files.now));
}
