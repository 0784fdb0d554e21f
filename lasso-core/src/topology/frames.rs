//! The frames from and to peers, and their consequences.

use super::checks::CheckOrder;
use super::describing::DescribeOrder;
use super::views::Reported;
use super::{Order, Topology};
use crate::event::{Change, DownReason};
use crate::frame::TopologyFrame;
use crate::name::{Description, NodeName};
use crate::time::Instant;

impl Topology {
    /// Asks a peer at the beginning of its session for its description, and checks it. The first check requests
    /// no view: while a large cluster forms, every view differs from every other.
    pub(super) fn ask(&mut self, now: Instant, name: &NodeName, orders: &mut Vec<Order>) {
        let id = self.describing.ask(now, name);
        orders.push(Order::Send {
            to: name.clone(),
            frame: TopologyFrame::Describe { id },
        });
        let id = self.checks.up(now, name);
        self.counters.checks_sent += 1;
        let frame = TopologyFrame::Check { id, known: None };
        orders.push(Order::Send {
            to: name.clone(),
            frame,
        });
    }

    pub(super) fn own_description(&self, id: u64) -> TopologyFrame {
        TopologyFrame::Description {
            id,
            description: self.description.clone(),
            ready: self.ready,
        }
    }

    pub(super) fn tell_all(&self, frame: &TopologyFrame) -> Vec<Order> {
        let peers = self.views.own().iter().filter(|name| **name != self.me);
        peers
            .map(|name| Order::Send {
                to: name.clone(),
                frame: frame.clone(),
            })
            .collect()
    }

    pub(super) fn on_check(&self, from: &NodeName, id: u64, known: Option<&[u64]>) -> Order {
        let frame = TopologyFrame::Health {
            id,
            ready: self.ready,
            view_hash: self.views.own_hash(),
            view: self.views.answer(known),
        };
        Order::Send {
            to: from.clone(),
            frame,
        }
    }

    pub(super) fn on_description(
        &mut self,
        now: Instant,
        from: &NodeName,
        id: u64,
        (description, ready): (Description, bool),
        orders: &mut Vec<Order>,
    ) {
        if description.validate().is_err() {
            self.counters.frames_refused += 1;
            return;
        }
        // A link keeps its order, so a late answer is still the peer's latest description.
        if !self.describing.stop(from, id) && id != 0 {
            self.counters.late_answers += 1;
        }
        let mut news = false;
        let changed = self.roster.change(now, from, |member| {
            news = !member.described || member.description != description;
            member.asking = false;
            member.described = true;
            member.app_ready = ready;
            if news {
                member.description = description.clone();
            }
        });
        if news {
            self.event(
                Change::NodeIdentified {
                    name: from.clone(),
                    description,
                },
                orders,
            );
        }
        self.health_update(changed.into_iter().collect(), orders);
    }

    pub(super) fn on_ready(
        &mut self,
        now: Instant,
        from: &NodeName,
        ready: bool,
        orders: &mut Vec<Order>,
    ) {
        let changed = self
            .roster
            .change(now, from, |member| member.app_ready = ready);
        self.health_update(changed.into_iter().collect(), orders);
    }

    pub(super) fn on_health(
        &mut self,
        now: Instant,
        from: &NodeName,
        (id, ready): (u64, bool),
        (view_hash, view): (u64, Option<Vec<NodeName>>),
        orders: &mut Vec<Order>,
    ) {
        let Some(passed) = self.checks.answered(now, from, id) else {
            self.counters.late_answers += 1;
            return;
        };
        self.counters.checks_passed += 1;
        let reported = match passed.views {
            true => self.views.report(from, view_hash, view),
            false => Reported::Unchanged,
        };
        if passed.views {
            self.doubts.settle(from);
        }
        if reported == Reported::Refused {
            self.counters.frames_refused += 1;
        }
        // The view of a node that passes its checks again counts again.
        if reported != Reported::Unchanged || passed.recovered {
            self.watch.touch(now);
        }
        let changed = self.roster.change(now, from, |member| {
            member.passed = true;
            member.unresponsive = false;
            member.app_ready = ready;
            member.rtt = Some(passed.rtt);
        });
        self.health_update(changed.into_iter().collect(), orders);
    }

    pub(super) fn tick_checks(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let mut due = Vec::new();
        self.checks.tick(now, &mut due);
        let peers = due
            .iter()
            .filter_map(CheckOrder::asked)
            .cloned()
            .collect::<Vec<_>>();
        let mut wanted = self.views.whom_to_ask(now, &peers).into_iter();
        let (mut changed, mut sends) = (Vec::new(), Vec::new());
        for order in due {
            match order {
                CheckOrder::Ask { to, id } => {
                    let wanted = wanted.next().expect("one entry for each peer asked");
                    let known = wanted.then(|| self.views.known(&to));
                    self.counters.checks_sent += 1;
                    let frame = TopologyFrame::Check { id, known };
                    sends.push(Order::Send { to, frame });
                }
                CheckOrder::Failed { name, unresponsive } => {
                    self.counters.checks_failed += 1;
                    self.watch.touch(now);
                    changed.extend(self.roster.change(now, &name, |member| {
                        member.unresponsive |= unresponsive;
                    }));
                }
            }
        }
        self.health_update(changed, orders);
        orders.extend(sends);
    }

    /// A node is gone without a goodbye: asks the peers whose views still contain it for new ones.
    pub(super) fn doubt(&mut self, now: Instant, lost: &NodeName, reason: DownReason) {
        self.doubts.settle(lost);
        if matches!(reason, DownReason::Left | DownReason::Replaced) {
            return;
        }
        let has = |peer: &&NodeName| {
            let view = self.views.of(peer);
            view.is_some_and(|(_, view)| view.binary_search(lost).is_ok())
        };
        let peers = self.views.own().iter().filter(has).cloned();
        self.doubts.raise(now, peers);
    }

    /// Asks peers for their views, beside the rounds.
    pub(super) fn ask_alone(
        &mut self,
        now: Instant,
        peers: impl IntoIterator<Item = NodeName>,
        orders: &mut Vec<Order>,
    ) {
        for to in peers {
            if let Some(id) = self.checks.hurry(now, &to) {
                let known = Some(self.views.known(&to));
                self.counters.checks_sent += 1;
                let frame = TopologyFrame::Check { id, known };
                orders.push(Order::Send { to, frame });
            }
        }
    }

    pub(super) fn tick_describing(&mut self, now: Instant, orders: &mut Vec<Order>) {
        let mut due = Vec::new();
        self.describing.tick(now, &mut due);
        for order in due {
            match order {
                DescribeOrder::Ask { to, id } => {
                    self.roster.change(now, &to, |member| member.asking = true);
                    orders.push(Order::Send {
                        to,
                        frame: TopologyFrame::Describe { id },
                    });
                }
                DescribeOrder::GaveUp { name } => {
                    self.counters.descriptions_failed += 1;
                    self.roster
                        .change(now, &name, |member| member.asking = false);
                }
            }
        }
    }
}
