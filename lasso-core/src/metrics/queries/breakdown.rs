//! One question for all of a chain's calls: by provider, by method, and by both.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    CallsPartial, MethodRow, ProviderKey, ProviderRow, Query, Records, Row, Take, Untold, gather,
    take_rows,
};
use crate::metrics::aggregate::Figures;
use crate::metrics::shared::SharedRecorder;
use crate::name::NodeName;
use crate::time::Instant;

/// Calls of a chain by provider, by method, and by provider and method, since the nodes' start.
#[derive(Debug, Clone)]
pub struct Breakdown<S = SharedRecorder>(pub S);

/// One provider's calls of one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairRow {
    /// The provider.
    pub provider: String,
    /// The method.
    pub method: String,
    /// The cluster's figures.
    pub figures: Figures,
}

/// The same calls three times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallTable {
    /// By provider, best first: by score, ties by name.
    pub providers: Vec<ProviderRow>,
    /// By method, in the order of their names.
    pub methods: Vec<MethodRow>,
    /// By provider and method, in the order of their names.
    pub pairs: Vec<PairRow>,
    /// What the rows don't tell.
    pub untold: Untold,
}

impl<S: Records + Send + Sync + 'static> Query for Breakdown<S> {
    const NAME: &'static str = "lasso.breakdown";
    type Key = ProviderKey;
    type Partial = CallsPartial;
    type Answer = CallTable;

    fn collect(&self, now: Instant, key: &ProviderKey) -> CallsPartial {
        gather(&self.0, now, |series| {
            let name = series.key();
            let apart = true;
            key.holds(&name).then(|| Take {
                apart,
                ..Take::provider(series, name)
            })
        })
    }

    fn merge(&self, _: &ProviderKey, parts: Vec<(NodeName, CallsPartial)>) -> CallTable {
        let (mut providers, mut methods) = (BTreeMap::new(), BTreeMap::new());
        let mut pairs: BTreeMap<(String, String), Row> = BTreeMap::new();
        let mut untold = Untold::default();
        take_rows(parts, &mut untold, |provider, part, others| {
            // A row of this question is of one method.
            let mut others = others.into_iter();
            let (Some(method), None) = (others.next(), others.next()) else {
                return false;
            };
            let row: &mut Row = providers.entry(provider.clone()).or_default();
            row.parts.push(part.clone());
            row.others.insert(method.clone());
            let row: &mut Row = methods.entry(method.clone()).or_default();
            row.parts.push(part.clone());
            row.others.insert(provider.clone());
            let row = pairs.entry((provider, method)).or_default();
            row.parts.push(part);
            true
        });
        let pairs = pairs.into_iter().map(|((provider, method), row)| PairRow {
            provider,
            method,
            figures: Figures::of(&row.parts),
        });
        CallTable {
            providers: super::ranked(providers),
            methods: super::by_name(methods),
            pairs: pairs.collect(),
            untold,
        }
    }
}
