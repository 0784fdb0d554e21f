//! A lie excuses some behaviour of others, and nothing else: invariants 12 and 14.

use lasso_core::event::Notice;
use lasso_core::plane::QueueAudit;

use super::*;
use crate::liar::lies;

impl Stand {
    /// A liar begins, which may claim the name of `A`.
    fn lies_about_a(&mut self) {
        let spec = self.scenario.node(A);
        let identity = self.link(A, 1).peer;
        let lying = Lying {
            to: B,
            from: [10, 0, 0, 9].into(),
            identity,
            security: spec.config(false).security,
            lie: &lies::ALL[0],
            topic: None,
            lasts: Duration::from_secs(1),
        };
        self.invariants.lies(&lying);
    }

    /// `node` gives up its link with `peer`, since another life took its place.
    fn gives_up(&mut self, now: Instant, node: NodeId, peer: NodeId) {
        let change = Change::NodeDisconnected {
            name: self.name(peer),
            reason: DownReason::Replaced,
        };
        let mut last = event(2, 1, change);
        last.coverage.disconnected = vec![self.name(peer)];
        self.invariants
            .output(now, node, &Output::Event(last), &Last(now));
    }
}

#[test]
fn only_a_node_that_renumbers_itself_in_a_run_with_a_liar_may_give_up_its_links() {
    for (lied, renumbers, expected) in [
        (true, Some(at(100)), vec![]),
        (true, Some(at(60)), vec![14]),
        (true, None, vec![14]),
        (false, Some(at(100)), vec![14]),
    ] {
        let mut stand = Stand::new();
        stand.connects(at(1), A, B, 7);
        stand.connects(at(1), B, A, 7);
        if lied {
            stand.lies_about_a();
        }
        if let Some(now) = renumbers {
            let incarnation = Incarnation(BORN + 1);
            let notice = Output::Notice(Notice::Renumbered { incarnation });
            stand.invariants.output(now, A, &notice, &Last(now));
        }
        stand.gives_up(at(100), A, B);
        assert_eq!(stand.found(), expected, "{lied} {renumbers:?}");
    }
}

#[test]
fn a_peer_of_a_node_that_renumbers_itself_is_not_excused() {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 7);
    stand.lies_about_a();
    stand.gives_up(at(100), B, A);
    assert_eq!(stand.found(), [14]);
}

#[test]
fn reported_losses_stop_at_the_greatest_number_and_are_not_fewer_than_that() {
    for (read, held, expected) in [
        (u64::MAX, 8, vec![]),
        (u64::MAX - 8, 8, vec![]),
        (u64::MAX - 9, 8, vec![12]),
    ] {
        let queue = QueueAudit {
            taken: 0,
            read: 0,
            shed: 0,
            held: 0,
            most: 0,
            most_bytes: 0,
            bound: 1024,
            bytes_taken: 0,
            bytes_read: 0,
            bytes_shed: 0,
            bytes_held: 0,
            missed: u64::MAX,
            missed_read: read,
            missed_held: held,
        };
        let told = Told {
            version: 1,
            audits: Audits {
                subscribers: vec![(1, queue)],
                ..Audits::default()
            },
            ..Told::default()
        };
        let mut stand = Stand::new();
        stand.invariants.after(at(1), A, &told);
        assert_eq!(stand.found(), expected, "{read} {held}");
    }
}
