//! Where calls put what is to be sent.

use bytes::Bytes;

use super::Effects;
use crate::node::ConnId;

/// The lanes of every link that stands, as the calls see them.
pub trait Outlet {
    /// Appends a call or an answer, in two parts that follow one another, to its lane. False: the
    /// lane is full, or the link is gone, and nothing was taken.
    fn calls(&mut self, conn: ConnId, head: &[u8], payload: &Bytes, fx: &mut Effects) -> bool;
    /// Appends a small frame that overtakes calls and messages; false: it was not taken.
    fn control(&mut self, conn: ConnId, frame: &[u8], fx: &mut Effects) -> bool;
}
