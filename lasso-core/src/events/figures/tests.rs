use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::events::Call;

fn ms(ms: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(ms)
}

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn series(provider: &str, chain: &str) -> Series {
    Series {
        provider: label(provider),
        chain: label(chain),
    }
}

fn row(of: Option<(&str, &str)>, region: Option<&str>) -> Row {
    Row {
        series: of.map(|(provider, chain)| series(provider, chain)),
        region: region.map(label),
    }
}

/// One event each: provider, chain, region, success, milliseconds, weight.
type Event = (&'static str, &'static str, &'static str, bool, u64, u32);

fn record(windows: &mut Windows, now: Instant, events: &[Event]) {
    for (provider, chain, region, success, took, weight) in events {
        let call = Call {
            series: series(provider, chain),
            success: *success,
            duration: Some(Duration::from_millis(*took)),
            weight: *weight,
        };
        windows.record(now, 0, &label(region), call);
    }
}

fn windows() -> Windows {
    Windows::new(ms(0), 1_000, 200)
}

#[test]
fn rows_are_for_the_whole_for_regions_and_for_providers_in_each() {
    let mut windows = windows();
    let events = [
        ("a", "eth", "iad", true, 100, 60),
        ("a", "eth", "sjc", true, 300, 20),
        ("b", "eth", "iad", false, 0, 20),
        ("b", "sol", "iad", true, 10, 100),
    ];
    record(&mut windows, ms(1_500), &events);
    let rows = rows(ms(3_000), &windows);
    let expect = |row: Row, calls, errors, success_ppm, share_ppm, p50_us, p95_us| {
        let expected = Figures {
            calls,
            errors,
            success_ppm,
            share_ppm,
            // Second 1 and second 2 were watched, second 0 was under way at the start.
            calls_per_1000_s: calls * 500,
            p50_us,
            p95_us,
            // The one error took no time.
            error_p50_us: (errors > 0).then_some(0),
            error_p95_us: (errors > 0).then_some(0),
        };
        assert_eq!(rows[&row], expected, "{row:?}");
    };
    let (ten, hundred, three) = (Some(10_000), Some(100_000), Some(300_000));
    expect(row(None, None), 200, 20, 900_000, 1_000_000, ten, three);
    expect(
        row(None, Some("iad")),
        180,
        20,
        888_888,
        900_000,
        ten,
        hundred,
    );
    expect(
        row(None, Some("sjc")),
        20,
        0,
        1_000_000,
        100_000,
        three,
        three,
    );
    expect(
        row(Some(("a", "eth")), None),
        80,
        0,
        1_000_000,
        800_000,
        hundred,
        three,
    );
    expect(
        row(Some(("a", "eth")), Some("iad")),
        60,
        0,
        1_000_000,
        750_000,
        hundred,
        hundred,
    );
    expect(
        row(Some(("a", "eth")), Some("sjc")),
        20,
        0,
        1_000_000,
        1_000_000,
        three,
        three,
    );
    expect(
        row(Some(("b", "eth")), None),
        20,
        20,
        0,
        200_000,
        None,
        None,
    );
    expect(
        row(Some(("b", "sol")), Some("iad")),
        100,
        0,
        1_000_000,
        1_000_000,
        ten,
        ten,
    );
    assert_eq!(rows.len(), 10);
}

#[test]
fn the_whole_of_nothing_has_no_percentiles_and_zero_shares() {
    let rows = rows(ms(10_000), &windows());
    assert_eq!(rows, BTreeMap::from([(Row::default(), Figures::default())]));
    assert_eq!(share_ppm(0, 0), 0);
    assert_eq!(percentile(&[], 50), None);
}

#[test]
fn errors_that_took_long_move_no_percentile_but_their_own() {
    let mut windows = windows();
    record(
        &mut windows,
        ms(1_000),
        &[("a", "eth", "iad", true, 100, 1); 10],
    );
    record(
        &mut windows,
        ms(1_000),
        &[("a", "eth", "iad", false, 5_000, 1); 10],
    );
    let figures = rows(ms(1_000), &windows)[&Row::default()];
    assert_eq!((figures.calls, figures.errors), (20, 10));
    assert_eq!(
        (figures.p50_us, figures.p95_us),
        (Some(100_000), Some(100_000))
    );
    let failed = (figures.error_p50_us, figures.error_p95_us);
    assert_eq!(failed, (Some(5_000_000), Some(5_000_000)));
}

#[test]
fn a_busy_series_weighs_more_than_its_samples() {
    let mut windows = windows();
    // 10,000 calls of 100 ms, of which 200 are kept as samples, and 200 of 1 ms.
    let busy = [("busy", "eth", "iad", true, 100, 1); 10_000];
    record(&mut windows, ms(1_000), &busy);
    record(
        &mut windows,
        ms(1_000),
        &[("idle", "eth", "iad", true, 1, 1); 200],
    );
    let rows = rows(ms(1_000), &windows);
    // Two of a hundred are short: the median of 400 unweighted samples would be 1 ms.
    assert_eq!(rows[&Row::default()].p50_us, Some(100_000));
}

#[test]
fn only_changes_that_matter_are_told_and_small_ones_add_up() {
    let thresholds = Thresholds::default();
    let told = Figures {
        calls: 100,
        errors: 10,
        success_ppm: 900_000,
        share_ppm: 500_000,
        calls_per_1000_s: 1_000,
        p50_us: Some(50_000),
        p95_us: Some(90_000),
        error_p50_us: Some(5_000_000),
        error_p95_us: None,
    };
    type Change = fn(&mut Figures);
    let table: [(Change, bool); 18] = [
        (|_| (), false),
        (|f| f.calls = 104, false),
        (|f| f.calls = 95, true),
        (|f| f.errors = 14, false),
        (|f| f.success_ppm = 909_999, false),
        (|f| f.success_ppm = 910_000, true),
        (|f| f.share_ppm = 480_001, false),
        (|f| f.share_ppm = 480_000, true),
        (|f| f.p50_us = Some(54_999), false),
        (|f| f.p50_us = Some(45_000), true),
        (|f| f.p95_us = Some(80_001), false),
        (|f| f.p95_us = Some(100_000), true),
        (|f| f.error_p50_us = Some(5_010_000), true),
        (|f| f.error_p95_us = Some(5_000_000), true),
        (|f| f.p50_us = None, true),
        (|f| f.p95_us = None, true),
        (|f| f.calls_per_1000_s = 1_083, false),
        (|f| f.calls_per_1000_s = 916, true),
    ];
    for (at, (change, matters)) in table.into_iter().enumerate() {
        let mut new = told;
        change(&mut new);
        assert_eq!(new.matters(&told, &thresholds), matters, "line {at}");
    }
}

#[test]
fn a_drift_in_small_steps_is_told_when_it_has_become_large() {
    let (mut windows, mut board) = (windows(), Board::new(Thresholds::default()));
    board.update(ms(1_000), &windows);
    let mut told = 0;
    for step in 0..20 {
        let seen = board.version();
        record(
            &mut windows,
            ms(1_000 + step),
            &[("a", "eth", "iad", true, 100, 1)],
        );
        board.update(ms(1_000 + step), &windows);
        let whole = |(row, _): &&(Row, Figures)| *row == Row::default();
        told += board.since(seen).changed.iter().filter(whole).count();
    }
    // At the first call, as there is a median then, and at every fifth call after it.
    assert_eq!(told, 4);
}

#[test]
fn a_region_whose_calls_have_all_aged_out_is_gone() {
    let (mut windows, mut board) = (windows(), Board::new(Thresholds::default()));
    record(
        &mut windows,
        ms(1_000),
        &[("a", "eth", "sjc", true, 100, 1)],
    );
    record(
        &mut windows,
        ms(30_000),
        &[("a", "eth", "iad", true, 100, 1)],
    );
    board.update(ms(30_000), &windows);
    let seen = board.version();
    board.update(ms(60_999), &windows);
    assert_eq!(board.since(seen).gone, []);
    board.update(ms(61_000), &windows);
    let gone = board.since(seen).gone;
    assert_eq!(
        gone,
        [row(None, Some("sjc")), row(Some(("a", "eth")), Some("sjc"))]
    );
    windows.clean(ms(90_000));
    board.update(ms(90_000), &windows);
    assert_eq!(board.all().changed, [(Row::default(), Figures::default())]);
}

proptest! {
    #[test]
    fn figures_are_those_of_the_calls_that_the_weights_stand_for(
        events in proptest::collection::vec(
            (
                prop::sample::select(vec!["a", "b"]),
                prop::sample::select(vec!["eth", "sol"]),
                prop::sample::select(vec!["iad", "sjc"]),
                any::<bool>(),
                0_u64..1_000,
                1_u32..30,
            ),
            0..150,
        ),
    ) {
        let mut windows = windows();
        record(&mut windows, ms(5_000), &events);
        let rows = rows(ms(5_000), &windows);
        for (row, figures) in &rows {
            let of = |e: &&Event| {
                row.region.as_ref().is_none_or(|region| region.as_str() == e.2)
                    && row.series.as_ref().is_none_or(|s| *s == series(e.0, e.1))
            };
            let mine: Vec<&Event> = events.iter().filter(of).collect();
            let calls: u64 = mine.iter().map(|e| u64::from(e.5)).sum();
            let errors: u64 = mine.iter().filter(|e| !e.3).map(|e| u64::from(e.5)).sum();
            prop_assert_eq!((figures.calls, figures.errors), (calls, errors));
            // Every call that a weight stands for, written out.
            let rank = |success: bool, percent: usize| {
                let which = mine.iter().filter(|e| e.3 == success);
                let mut all: Vec<u64> = which.flat_map(|e| vec![e.4; e.5 as usize]).collect();
                all.sort_unstable();
                let at = (all.len() * percent).div_ceil(100).saturating_sub(1);
                all.get(at).map(|took| (took * 1_000) as u32)
            };
            prop_assert_eq!((figures.p50_us, figures.p95_us), (rank(true, 50), rank(true, 95)));
            let failed = (figures.error_p50_us, figures.error_p95_us);
            prop_assert_eq!(failed, (rank(false, 50), rank(false, 95)));
        }
        // The shares of a chain's providers add up to one, but for what rounding takes off.
        for chain in ["eth", "sol"] {
            let of = |(row, _): &(&Row, &Figures)| {
                row.region.is_none() && row.series.as_ref().is_some_and(|s| s.chain.as_str() == chain)
            };
            let shares: Vec<u32> = rows.iter().filter(of).map(|(_, f)| f.share_ppm).collect();
            let sum: u32 = shares.iter().sum();
            prop_assert!(shares.is_empty() || (999_998..=1_000_000).contains(&sum), "{}", sum);
        }
    }
}
