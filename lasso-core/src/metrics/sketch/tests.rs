use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn sketch_of(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::new();
    for value in values {
        sketch.record(Duration::from_nanos(*value));
    }
    sketch
}

fn merged(parts: &[Sketch]) -> Sketch {
    let mut whole = Sketch::new();
    for part in parts {
        whole.merge(part);
    }
    whole
}

/// The value of rank ⌈percent × n / 100⌉.
fn exact(sorted: &[u64], percent: usize) -> u64 {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

/// Pareto with shape 1.1 from 1 ms on, cut at an hour: as heavy a tail as upstreams have.
fn heavy_tailed(seed: u64, n: usize) -> Vec<u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut draw = || {
        let unit = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (1e6 * libm::pow(unit, -1.0 / 1.1)).min(3.6e12) as u64
    };
    (0..n).map(|_| draw()).collect()
}

#[test]
fn percentiles_of_five_uneven_nodes_are_within_one_percent_and_do_not_depend_on_the_order() {
    for seed in 0..20 {
        let mut values = heavy_tailed(seed, 20_000);
        let cuts = [0, 11, 400, 2_400, 7_000, 20_000];
        let mut nodes: Vec<_> = cuts
            .windows(2)
            .map(|cut| sketch_of(&values[cut[0]..cut[1]]))
            .collect();
        let whole = merged(&nodes);
        // All orders: Heap's algorithm without the recursion.
        let mut turns = [0; 5];
        let mut at = 1;
        while at < 5 {
            if turns[at] < at {
                nodes.swap(at, if at % 2 == 0 { 0 } else { turns[at] });
                let again = merged(&nodes);
                assert_eq!(again, whole);
                assert_eq!(again.encode(), whole.encode());
                turns[at] += 1;
                at = 1;
            } else {
                turns[at] = 0;
                at += 1;
            }
        }
        values.sort_unstable();
        for percent in [50, 95, 99] {
            let told = whole.percentile(percent).unwrap().as_nanos() as f64;
            let truth = exact(&values, percent as usize) as f64;
            let error = (told - truth).abs() / truth;
            assert!(error <= 0.01, "p{percent} of seed {seed}: off by {error}");
        }
    }
}

#[test]
fn a_value_lies_in_a_bucket_whose_middle_is_within_one_percent() {
    let mut last = 0;
    for power in 0..64 {
        for offset in [0, 1, 2, 3, 5, 1 << (power / 2), (1u64 << power) - 1] {
            let value = (1u64 << power).saturating_add(offset);
            let middle = middle_of(index_of(value));
            let error = middle.abs_diff(value) as f64 / value as f64;
            assert!(error <= 1.0 / 128.0, "{value} is told as {middle}");
        }
        assert!(index_of(1 << power) > last || power == 0);
        last = index_of(1 << power);
    }
    assert_eq!(index_of(u64::MAX), INDEX_END - 1);
    assert_eq!((index_of(0), middle_of(0)), (0, 0));
}

#[test]
fn percentiles_of_nothing_are_absent() {
    assert_eq!(Sketch::new().percentile(50), None);
    assert!(Sketch::new().is_empty());
    let decoded = Sketch::decode(&Sketch::new().encode()).unwrap();
    assert_eq!(decoded.percentile(99), None);
    assert_eq!(decoded, Sketch::new());
}

#[test]
fn what_is_far_below_the_largest_is_collapsed_and_counted() {
    let sketch = sketch_of(&[1, 2, 3, 1 << 40]);
    assert_eq!((sketch.count(), sketch.collapsed()), (4, 3));
    assert!(sketch.counts.len() <= BUCKETS_MAX);
    assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch.clone()));
    let top = sketch.percentile(100).unwrap().as_nanos() as f64;
    assert!((top / (1u64 << 40) as f64 - 1.0).abs() < 0.01);
    // A further rise collapses the same values once more, and counts none of them twice.
    let mut higher = sketch.clone();
    higher.record(Duration::MAX);
    assert_eq!((higher.count(), higher.collapsed()), (5, 3));
}

#[test]
fn bytes_of_another_layout_or_beyond_the_bounds_are_refused() {
    let varint_of_65_bits = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2];
    let mut too_long = vec![LAYOUT];
    too_long.extend(varint_of_65_bits);
    let cases: [(&[u8], SketchError); 9] = [
        (&[], SketchError::Number),
        (&[7, 0], SketchError::Layout(7)),
        (&[LAYOUT], SketchError::Number),
        (&[LAYOUT, 0, 1], SketchError::Number),
        (&too_long, SketchError::Number),
        // An empty bucket, one twice, one that does not exist.
        (&[LAYOUT, 0, 1, 0], SketchError::Bucket),
        (&[LAYOUT, 0, 1, 1, 0, 1], SketchError::Bucket),
        (&[LAYOUT, 0, 0xff, 0xff, 3, 1], SketchError::Bucket),
        // Two that are further apart than a sketch reaches.
        (&[LAYOUT, 0, 1, 1, 0x80, 0x18, 1], SketchError::Bucket),
    ];
    for (bytes, error) in cases {
        assert_eq!(Sketch::decode(bytes), Err(error), "{bytes:?}");
    }
    assert_eq!(
        Sketch::decode(&[LAYOUT, 1, 1, 1]),
        Err(SketchError::Bucket),
        "more collapsed than there are"
    );
}

#[test]
fn a_heavy_tailed_sketch_takes_less_than_2_kib_on_the_wire() {
    let encoded = sketch_of(&heavy_tailed(7, 20_000)).encode();
    assert!(encoded.len() < 2_048, "{}", encoded.len());
}

fn values() -> impl Strategy<Value = Vec<u64>> {
    let value = prop_oneof![
        any::<u64>(),
        0..200u64,
        (0..64u32).prop_map(|power| 1u64 << power),
        1_000_000..5_000_000_000u64,
    ];
    prop::collection::vec(value, 0..60)
}

proptest! {
    #[test]
    fn any_split_in_any_order_gives_the_same_bits(values in values(), owners in prop::collection::vec(0..4usize, 60), turn in 0..4usize) {
        let mut parts = vec![Vec::new(); 4];
        for (value, owner) in values.iter().zip(&owners) {
            parts[*owner].push(*value);
        }
        let mut parts: Vec<_> = parts.iter().map(|part| sketch_of(part)).collect();
        let whole = sketch_of(&values);
        let one = merged(&parts);
        parts.rotate_left(turn);
        parts.swap(0, 2);
        // Not only another order, another tree too.
        let tree = merged(&[merged(&parts[..2]), merged(&parts[2..])]);
        prop_assert_eq!(&one, &whole);
        prop_assert_eq!(&tree, &whole);
        prop_assert_eq!(tree.encode(), whole.encode());
        prop_assert_eq!(whole.count(), values.len() as u64);
    }

    #[test]
    fn collapsed_are_exactly_those_below_the_floor(values in values()) {
        let sketch = sketch_of(&values);
        let below = values.iter().filter(|value| index_of(**value) < sketch.floor()).count();
        prop_assert_eq!(sketch.collapsed(), below as u64);
        prop_assert!(sketch.counts.len() <= BUCKETS_MAX);
    }

    #[test]
    fn percentiles_are_within_one_percent_above_the_floor(values in values(), percent in 0..=100u32) {
        let sketch = sketch_of(&values);
        let mut sorted = values.clone();
        sorted.sort_unstable();
        match sketch.percentile(percent) {
            None => prop_assert!(values.is_empty()),
            Some(told) => {
                let truth = exact(&sorted, percent as usize);
                let told = told.as_nanos() as u64;
                let close = u128::from(told.abs_diff(truth)) * 100 <= u128::from(truth);
                prop_assert!(close || index_of(truth) <= sketch.floor(), "{} for {}", told, truth);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(values in values()) {
        let sketch = sketch_of(&values);
        prop_assert_eq!(&Sketch::decode(&sketch.encode()).unwrap(), &sketch);
        let packed = rmp_serde::to_vec_named(&sketch).unwrap();
        prop_assert_eq!(&rmp_serde::from_slice::<Sketch>(&packed).unwrap(), &sketch);
    }

    #[test]
    fn no_bytes_panic_or_break_the_bound(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = LAYOUT;
        }
        if let Ok(sketch) = Sketch::decode(&bytes) {
            prop_assert!(sketch.counts.len() <= BUCKETS_MAX);
            let mut whole = sketch_of(&[1, 1_000, u64::MAX]);
            whole.merge(&sketch);
            prop_assert_eq!(&Sketch::decode(&whole.encode()).unwrap(), &whole);
            let _ = whole.percentile(99);
        }
    }
}
