//! Where topics and calls put what is to be sent.

use super::Effects;
use crate::node::ConnId;

/// The lanes of every link that stands, as the parts of the data plane see them.
pub trait Outlet {
    /// A message, in two parts that follow one another. Bytes that its lane holds now; `None`: the
    /// lane is full, or the link is gone, and nothing was taken.
    fn data(
        &mut self,
        conn: ConnId,
        head: &[u8],
        payload: &[u8],
        fx: &mut Effects,
    ) -> Option<usize>;
    /// A call or an answer, likewise; false: it was not taken.
    fn calls(&mut self, conn: ConnId, head: &[u8], payload: &[u8], fx: &mut Effects) -> bool;
    /// A small frame that overtakes both; false: it was not taken.
    fn control(&mut self, conn: ConnId, frame: &[u8], fx: &mut Effects) -> bool;
}
