use super::*;
use crate::events::routing::BlockHeight;
use crate::events::topics::Segment;
use crate::events::{Kind, StreamEvent};

fn label(text: &str) -> Label {
    Label::new("label", text).unwrap()
}

fn height(
    provider: &str,
    region: &str,
    node: u8,
    height: u64,
    consensus: Option<u64>,
) -> RoutingEvent {
    RoutingEvent::Height(BlockHeight {
        unix_ms: 1,
        profile: Segment::new("p").unwrap(),
        source: format!("lasso@10.0.0.{node}").parse().unwrap(),
        region: label(region),
        chain: Segment::new("eth").unwrap(),
        provider: label(provider),
        height,
        consensus,
        lag: consensus.map(|newest| newest.saturating_sub(height)),
    })
}

fn health(node: u8, row: (u32, u32), methods: &[(&str, u64)]) -> RoutingEvent {
    let method = |(method, calls): &(&str, u64)| MethodCalls {
        method: label(method),
        calls: *calls,
    };
    RoutingEvent::Health(ProviderHealth {
        unix_ms: 1,
        profile: Segment::new("p").unwrap(),
        source: format!("lasso@10.0.0.{node}").parse().unwrap(),
        region: label("iad"),
        chain: Segment::new("eth").unwrap(),
        provider: label("a"),
        status: ProviderStatus::Healthy,
        statuses: BTreeMap::new(),
        circuits: BTreeMap::new(),
        block_lag: None,
        rate_limited: false,
        failures_in_row: row.0,
        successes_in_row: row.1,
        methods: methods.iter().map(method).collect(),
    })
}

fn key(event: &RoutingEvent) -> StateKey {
    let Kind::State(key) = event.kind() else {
        panic!("it is a state");
    };
    key
}

fn changed(events: Vec<RoutingEvent>) -> Changes<StateKey, Arc<RoutingEvent>> {
    let changed = events.into_iter();
    Changes {
        whole: false,
        changed: changed
            .map(|event| (key(&event), Arc::new(event)))
            .collect(),
        gone: Vec::new(),
    }
}

fn lags(row: &ProviderRow) -> Vec<(&str, u64, u64)> {
    let heights = row.heights.iter();
    heights
        .map(|one| (one.region.as_str(), one.height, one.lag))
        .collect()
}

#[test]
fn heights_of_two_regions_are_both_there_with_the_lag_of_each_and_the_worst() {
    for consensus in [None, Some(100)] {
        let mut providers = Providers::new();
        providers.apply(&changed(vec![height("a", "iad", 1, 100, consensus)]));
        let rows = providers.apply(&changed(vec![height("a", "sjc", 2, 95, None)]));
        assert_eq!(lags(&rows[0]), [("iad", 100, 0), ("sjc", 95, 5)]);
        assert_eq!(rows[0].worst_lag, Some(5));
    }
    // Another node of a region speaks of the same.
    let mut providers = Providers::new();
    providers.apply(&changed(vec![height("a", "iad", 1, 100, Some(100))]));
    let rows = providers.apply(&changed(vec![height("a", "iad", 3, 101, Some(101))]));
    assert_eq!(lags(&rows[0]), [("iad", 101, 0)]);
}

#[test]
fn a_new_block_of_the_chain_changes_the_lag_of_other_providers() {
    let mut providers = Providers::new();
    providers.apply(&changed(vec![height("a", "iad", 1, 100, Some(100))]));
    let rows = providers.apply(&changed(vec![height("b", "iad", 1, 103, Some(103))]));
    let worst: Vec<_> = rows
        .iter()
        .map(|row| (row.provider.as_str(), row.worst_lag))
        .collect();
    assert_eq!(worst, [("a", Some(3)), ("b", Some(0))]);
    assert_eq!(providers.rows(), rows);
}

#[test]
fn each_nodes_row_of_failures_is_its_own_and_methods_are_summed() {
    let mut providers = Providers::new();
    let rows = providers.apply(&changed(vec![
        health(1, (0, 7), &[("eth_call", 5), ("eth_chainId", 4)]),
        health(2, (3, 0), &[("eth_chainId", 4)]),
    ]));
    let row = rows.last().unwrap();
    let nodes = row.nodes.iter();
    let nodes: Vec<_> = nodes
        .map(|node| {
            let source = node.source.to_string();
            (source, node.failures_in_row, node.successes_in_row)
        })
        .collect();
    assert_eq!(
        nodes,
        [
            ("lasso@10.0.0.1".into(), 0, 7),
            ("lasso@10.0.0.2".into(), 3, 0)
        ]
    );
    let methods = row.methods.iter();
    let methods: Vec<_> = methods
        .map(|one| (one.method.as_str(), one.calls))
        .collect();
    assert_eq!(methods, [("eth_chainId", 8), ("eth_call", 5)]);
    assert_eq!(row.worst_lag, None);
}

#[test]
fn states_that_are_gone_leave_no_row() {
    let mut providers = Providers::new();
    let (here, there) = (
        height("a", "iad", 1, 9, None),
        height("a", "sjc", 2, 7, None),
    );
    providers.apply(&changed(vec![here.clone(), there.clone()]));
    let gone = |event: &RoutingEvent| Changes {
        whole: false,
        changed: Vec::new(),
        gone: vec![key(event)],
    };
    let rows = providers.apply(&gone(&here));
    assert_eq!(lags(&rows[0]), [("sjc", 7, 0)]);
    let rows = providers.apply(&gone(&there));
    assert!(rows[0].heights.is_empty() && providers.rows().is_empty());
    providers.apply(&changed(vec![here]));
    let mut whole = changed(vec![there]);
    whole.whole = true;
    providers.apply(&whole);
    assert_eq!(lags(&providers.rows()[0]), [("sjc", 7, 0)]);
    assert_eq!(providers.states, 1);
}

#[test]
fn states_beyond_the_bound_begin_anew_and_that_is_counted() {
    let mut providers = Providers::new();
    let states = (0..STATES_MAX + 1).map(|number| height(&format!("p{number}"), "iad", 1, 1, None));
    for state in states {
        let change = changed(vec![state]);
        // The rows of a whole chain each time would take the test long.
        let mut change = change;
        change.changed[0].0.chain = label(&change.changed[0].0.subject.to_string());
        let rows = providers.apply(&change);
        let is_over = providers.restarts() == 1;
        // Those that are forgotten are told as gone.
        assert_eq!(rows.len(), if is_over { STATES_MAX + 1 } else { 1 });
    }
    assert_eq!((providers.states, providers.restarts()), (1, 1));
}
