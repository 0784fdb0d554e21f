//! The deliveries to viewers: invariant 8.

use std::sync::Arc;

use lasso_core::events::figures::{Figures, Row};
use lasso_core::events::routing::CircuitState;
use lasso_core::events::topics::Segment;
use lasso_core::events::{Kind, Pass, Scope, StreamEvent};
use lasso_core::name::Label;
use lasso_core::plane::Reach;

use super::*;
use crate::app::events::{Decisions, Emission, Emit, EventSaw, Known, Looked, Sight, What};
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
            let result = Ok(Some(Reach::default()));
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
            events: vec![(Some(label(id)), account.map(segment), 0)],
            ..nothing()
        };
        self.sees_events(now, A, EventSaw::Seen { viewer: 0, sight });
    }

    /// The viewer shows this many calls, and errors among them.
    fn is_shown(&mut self, now: Instant, row: Row, calls: u64, errors: u64) {
        let figures = Figures {
            calls,
            errors,
            ..Figures::default()
        };
        let sight = Sight {
            figures: vec![(row, figures)],
            ..nothing()
        };
        self.sees_events(now, A, EventSaw::Seen { viewer: 0, sight });
    }

    /// `B` has published a state of this profile and chain; `A` has a viewer that has named `eth`.
    fn with_state(profile: &str, chain: &str, what: What) -> (Self, Emission) {
        let mut stand = Stand::viewing(None, &[]);
        let what_is_seen = Looked {
            profile: segment("premium"),
            scope: Scope::Profile,
            chains: vec![segment("eth")],
            pass: Pass::operator(segment("premium")),
        };
        let viewing = EventSaw::Viewing {
            viewer: 1,
            name: "other".to_owned(),
            what: what_is_seen,
            at_once: true,
        };
        stand.sees_events(at(1), A, viewing);
        let like = stand.emission("a", None);
        let emission = Emission {
            emit: Arc::new(Emit {
                profile: segment(profile),
                chain: segment(chain),
                what,
                ..(*like.emit).clone()
            }),
            number: 0,
            id: None,
        };
        let published = EventSaw::Emitted {
            emission: emission.clone(),
            result: Ok(Some(Reach::default())),
        };
        stand.sees_events(at(1), B, published);
        (stand, emission)
    }

    /// The viewer is shown that state, with this value.
    fn is_shown_state(&mut self, now: Instant, emission: &Emission, known: Known) {
        let Kind::State(key) = emission.event(0).kind() else {
            panic!("no state");
        };
        let sight = Sight {
            states: vec![(key, known)],
            ..nothing()
        };
        self.sees_events(now, A, EventSaw::Seen { viewer: 0, sight });
    }
}

/// `A` has a viewer of a profile, and nothing was published.
pub(super) fn desk() -> Stand {
    Stand::viewing(None, &[])
}

impl Stand {
    /// `B` publishes an event without an account.
    pub(super) fn publishes_event(&mut self, now: Instant, id: &str) {
        let emission = self.emission(id, None);
        let result = Ok(Some(Reach::default()));
        self.sees_events(now, B, EventSaw::Emitted { emission, result });
    }
}

pub(super) fn nothing() -> Sight {
    Sight {
        is_first: false,
        lost: 0,
        events: Vec::new(),
        states_whole: false,
        states: Vec::new(),
        states_gone: Vec::new(),
        figures_whole: false,
        figures: Vec::new(),
        figures_gone: Vec::new(),
        coverage: None,
    }
}

fn region(name: &str) -> Row {
    Row {
        series: None,
        region: Some(label(name)),
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

/// The viewer's snapshot had an event that is older than the window.
#[test]
fn an_id_that_is_emitted_again_after_the_window_may_be_seen_once_more() {
    let mut stand = Stand::viewing(None, &[("a", None)]);
    stand.sees_event(at(115), "a", None);
    let emission = stand.emission("a", None);
    let result = Ok(Some(Reach::default()));
    stand.sees_events(at(125), B, EventSaw::Emitted { emission, result });
    stand.sees_event(at(126), "a", None);
    assert!(stand.found().is_empty());
    stand.sees_event(at(127), "a", None);
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

#[test]
fn figures_of_more_than_was_published_for_the_account_are_caught() {
    // Of the profile one success in twenty is published.
    let events = [("a", Some("acme")), ("b", Some("other")), ("c", None)];
    let cases = [
        (Some("acme"), 20, 21),
        (Some("other"), 20, 21),
        (None, 60, 61),
    ];
    for (account, most, more) in cases {
        let mut stand = Stand::viewing(account, &events);
        stand.is_shown(at(2), Row::default(), most, 0);
        stand.is_shown(at(2), region("unknown"), most, 0);
        let found = stand.found();
        assert!(found.is_empty(), "{:?}", stand.invariants.violations());
        stand.is_shown(at(3), Row::default(), more, 0);
        assert_eq!(stand.found(), [8], "{account:?}");
    }
}

#[test]
fn figures_of_a_region_or_with_errors_where_there_were_none_are_caught() {
    let mut stand = Stand::viewing(Some("acme"), &[("a", Some("acme"))]);
    stand.is_shown(at(2), region("elsewhere"), 1, 0);
    assert_eq!(stand.found(), [8]);
    let mut stand = Stand::viewing(Some("acme"), &[("a", Some("acme"))]);
    stand.is_shown(at(2), Row::default(), 20, 1);
    assert_eq!(stand.found(), [8]);
}

#[test]
fn what_was_left_out_is_in_no_figure_by_itself() {
    let mut stand = Stand::viewing(Some("acme"), &[]);
    let emission = stand.emission("a", Some("acme"));
    let left_out = EventSaw::Emitted {
        emission,
        result: Ok(None),
    };
    stand.sees_events(at(1), B, left_out);
    stand.is_shown(at(2), Row::default(), 1, 0);
    assert_eq!(stand.found(), [8]);
}

#[test]
fn figures_of_calls_that_are_out_of_the_window_are_caught_while_all_clocks_are_right() {
    let stand = || Stand::viewing(Some("acme"), &[("a", Some("acme"))]);
    let row = Row::default;
    let mut early = stand();
    early.is_shown(at(60), row(), 20, 0);
    // So many calls less need not be told.
    early.is_shown(at(90), row(), 4, 0);
    assert!(early.found().is_empty());
    let mut late = stand();
    late.is_shown(at(90), row(), 20, 0);
    assert_eq!(late.found(), [8]);
    let mut thawed = stand();
    thawed.invariants.paused(A);
    thawed.invariants.resumed(at(89), A);
    thawed.is_shown(at(90), row(), 20, 0);
    assert!(thawed.found().is_empty());
    thawed.is_shown(at(99), row(), 20, 0);
    assert_eq!(thawed.found(), [8]);
    let mut moved = stand();
    moved.invariants.clock_moved();
    moved.is_shown(at(90), row(), 20, 0);
    assert!(moved.found().is_empty());
}

#[test]
fn a_state_that_was_not_published_for_the_profile_or_that_nobody_asked_for_is_caught() {
    let open = What::Circuit(CircuitState::Open);
    let is_open = Known::Circuit(CircuitState::Open);
    let cases = [
        ("premium", "eth", What::Height(7), Known::Height(7), vec![]),
        ("premium", "eth", What::Height(7), Known::Height(8), vec![8]),
        ("premium", "eth", open.clone(), is_open, vec![]),
        ("premium", "base", open.clone(), is_open, vec![8]),
        ("free", "eth", open, is_open, vec![8]),
    ];
    for (profile, chain, what, known, expected) in cases {
        let (mut stand, emission) = Stand::with_state(profile, chain, what.clone());
        stand.is_shown_state(at(2), &emission, known);
        assert_eq!(
            stand.found(),
            expected,
            "{profile} {chain} {what:?} {known:?}"
        );
    }
}

#[test]
fn a_state_of_a_chain_that_its_viewers_have_left_long_ago_or_never_got_is_caught() {
    // Of the chains of who has left, states come for 30 s more, and are kept for 300 s after that.
    let cases = [
        (EventSaw::Left { viewer: 1 }, 2, 30, vec![]),
        (EventSaw::Left { viewer: 1 }, 2, 320, vec![]),
        (EventSaw::Left { viewer: 1 }, 2, 3600, vec![8]),
        (EventSaw::Left { viewer: 1 }, 50, 51, vec![8]),
        (refused(1), 2, 3, vec![8]),
    ];
    for (end, published, shown, expected) in cases {
        let (mut stand, like) = Stand::with_state("premium", "eth", What::Height(7));
        stand.sees_events(at(1), A, end.clone());
        let emission = Emission { number: 1, ..like };
        let next = EventSaw::Emitted {
            emission: emission.clone(),
            result: Ok(Some(Reach::default())),
        };
        stand.sees_events(at(published), B, next);
        stand.is_shown_state(at(shown), &emission, Known::Height(8));
        assert_eq!(stand.found(), expected, "{end:?} {published} {shown}");
    }
}

#[test]
fn who_is_refused_takes_nothing_away_from_others_who_named_the_same_chain() {
    let (mut stand, emission) = Stand::with_state("premium", "eth", What::Height(7));
    let what = Looked {
        profile: segment("premium"),
        scope: Scope::Profile,
        chains: vec![segment("eth")],
        pass: Pass::operator(segment("premium")),
    };
    let viewing = EventSaw::Viewing {
        viewer: 2,
        name: "greedy".to_owned(),
        what,
        at_once: true,
    };
    stand.sees_events(at(1), A, viewing);
    stand.sees_events(at(1), A, refused(2));
    stand.is_shown_state(at(2), &emission, Known::Height(7));
    let found = stand.found();
    assert!(found.is_empty(), "{:?}", stand.invariants.violations());
}

fn refused(viewer: u32) -> EventSaw {
    let error = "too many chains".to_owned();
    EventSaw::Refused { viewer, error }
}

/// A viewer at `A` with room for 1,000 reads at last: it is shown these of the 1,200 events that `B` has
/// published, ten a second.
fn reads_late(shown: core::ops::Range<u64>) -> Vec<u32> {
    let mut stand = Stand::new();
    stand.connects(at(1), A, B, 7);
    stand.connects(at(1), B, A, 7);
    let profile = segment("premium");
    let what = Looked {
        pass: Pass::operator(profile.clone()),
        profile,
        scope: Scope::Profile,
        chains: Vec::new(),
    };
    let viewing = EventSaw::Viewing {
        viewer: 0,
        name: "desk".to_owned(),
        what,
        at_once: false,
    };
    stand.sees_events(at(1), A, viewing);
    for number in 0..1_200_u64 {
        let emission = stand.emission(&format!("event-{number}"), None);
        let now = at(60) + Duration::from_millis(100) * number as u32;
        let result = Ok(Some(Reach::default()));
        stand.sees_events(now, B, EventSaw::Emitted { emission, result });
    }
    let event = |number: u64| (Some(label(&format!("event-{number}"))), None, 0);
    let sight = Sight {
        lost: 200,
        events: shown.map(event).collect(),
        ..nothing()
    };
    stand.sees_events(at(190), A, EventSaw::Seen { viewer: 0, sight });
    stand.found()
}

#[test]
fn a_full_queue_of_a_viewer_that_does_not_keep_the_newest_is_caught() {
    assert!(reads_late(200..1_200).is_empty());
    assert_eq!(reads_late(0..1_000), [8]);
    assert_eq!(reads_late(150..1_150), [8]);
}

#[test]
fn an_event_is_owed_to_a_viewer_only_where_every_table_has_room_for_its_topics() {
    for (topics, expected) in [(67, None), (68, Some((A, 8)))] {
        let mut stand = desk();
        let mut spec = stand.scenario.node(C).clone();
        spec.settings.pubsub.topics_max = topics;
        stand.invariants.started(at(0), C, &spec, BORN);
        stand.connects(at(2), A, B, 7);
        stand.connects(at(2), B, A, 7);
        stand.publishes_event(at(60), "a");
        assert_eq!(stand.unsettled(at(90), &[]), expected, "{topics}");
    }
}
