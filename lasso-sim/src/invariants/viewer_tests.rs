//! What viewers see: invariant 8.

use std::sync::Arc;

use lasso_core::events::topics::Segment;
use lasso_core::events::{Pass, Scope};
use lasso_core::name::Label;

use super::*;
use crate::app::events::{Decisions, Emission, Emit, EventSaw, Looked, Sight, What};
use crate::app::{Load, Pace};

fn segment(text: &str) -> Segment {
    Segment::new(text).expect("a segment")
}

fn label(text: &str) -> Label {
    Label::new("id", text).expect("a label")
}

impl Stand {
    /// `A` looks at this account of `premium`, or at all of it, and `B` has published events with
    /// these ids, each of this account.
    fn viewing(account: Option<&str>, events: &[(&str, Option<&str>)]) -> Self {
        let mut stand = Stand::new();
        let (profile, scope) = (segment("premium"), account.map(segment));
        let what = Looked {
            pass: Pass::operator(profile.clone()),
            profile,
            scope: scope.map_or(Scope::Profile, Scope::Account),
            chains: Vec::new(),
        };
        let viewing = EventSaw::Viewing {
            viewer: 0,
            name: "desk".to_owned(),
            what,
            at_once: true,
        };
        stand.sees_events(at(1), A, viewing);
        for (id, account) in events {
            let emission = stand.emission(id, *account);
            let result = Ok(None);
            stand.sees_events(at(1), B, EventSaw::Emitted { emission, result });
        }
        stand
    }

    fn emission(&self, id: &str, account: Option<&str>) -> Emission {
        let emit = Emit {
            source: self.name(B),
            region: Label::unknown(),
            profile: segment("premium"),
            chain: segment("eth"),
            providers: vec![label("alchemy")],
            what: What::Decisions(Decisions {
                accounts: account.map(segment).into_iter().collect(),
                errors_ppm: 0,
                failovers_ppm: 0,
                takes: (Duration::ZERO, Duration::ZERO),
                ago: (Duration::ZERO, Duration::ZERO),
                ids: None,
            }),
            load: Load {
                pace: Pace::Burst,
                count: Some(1),
                lasts: None,
            },
        };
        Emission {
            emit: Arc::new(emit),
            number: 0,
            id: Some(label(id)),
        }
    }

    fn sees_events(&mut self, now: Instant, node: NodeId, saw: EventSaw) {
        self.invariants.saw(now, node, &Saw::Events(saw));
    }

    /// The viewer gets an event that says to be of this account.
    fn sees_event(&mut self, now: Instant, id: &str, account: Option<&str>) {
        let sight = Sight {
            is_first: false,
            lost: 0,
            events: vec![(Some(label(id)), account.map(segment), 0)],
            states_whole: false,
            states: Vec::new(),
            states_gone: Vec::new(),
            figures_whole: false,
            figures: Vec::new(),
            figures_gone: Vec::new(),
            coverage: None,
        };
        self.sees_events(now, A, EventSaw::Seen { viewer: 0, sight });
    }
}

#[test]
fn a_viewer_that_sees_each_of_its_events_once_within_the_window_is_left_alone() {
    let events = [("a", Some("acme")), ("b", Some("other"))];
    let mut stand = Stand::viewing(None, &events);
    stand.sees_event(at(2), "a", None);
    stand.sees_event(at(3), "b", None);
    stand.sees_event(at(122), "a", None);
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
    let mut stand = Stand::viewing(Some("acme"), &events);
    stand.sees_event(at(2), "a", Some("acme"));
    assert!(
        stand.found().is_empty(),
        "{:?}",
        stand.invariants.violations()
    );
}

#[test]
fn an_event_that_is_seen_twice_within_the_window_is_caught() {
    let mut stand = Stand::viewing(None, &[("a", None), ("b", None)]);
    stand.sees_event(at(2), "a", None);
    stand.sees_event(at(60), "b", None);
    stand.sees_event(at(120), "a", None);
    assert_eq!(stand.found(), [8]);
}

#[test]
fn an_event_of_another_account_is_caught_whatever_it_says_of_itself() {
    for says in [Some("acme"), Some("other"), None] {
        let mut stand = Stand::viewing(Some("acme"), &[("b", Some("other"))]);
        stand.sees_event(at(2), "b", says);
        assert_eq!(stand.found(), [8], "{says:?}");
    }
}

#[test]
fn an_account_that_shows_in_the_profiles_view_is_caught() {
    let mut stand = Stand::viewing(None, &[("a", Some("acme"))]);
    stand.sees_event(at(2), "a", Some("acme"));
    assert_eq!(stand.found(), [8]);
}

#[test]
fn an_event_that_nobody_published_is_caught() {
    let mut stand = Stand::viewing(None, &[("a", None)]);
    stand.sees_event(at(2), "b", None);
    assert_eq!(stand.found(), [8]);
}

#[test]
fn an_id_of_two_owners_is_caught_when_it_is_published() {
    let events = [("a", Some("acme")), ("a", Some("acme"))];
    assert!(Stand::viewing(None, &events).found().is_empty());
    let events = [("a", Some("acme")), ("a", Some("other"))];
    assert_eq!(Stand::viewing(None, &events).found(), [8]);
}
