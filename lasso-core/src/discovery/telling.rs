//! Reports the state of DNS queries: in the health answer, and as notices for the log.
//!
//! 1. A notice is given when the state of a query changes, not at each question.
//! 2. A family gets a notice of its own when it has failed twice in a row while the other family has not. When
//!    the server disappears, both fail within moments, and the query gets one notice.

use super::{
    Discovery, Family, FamilyStatus, Found, Query, QueryId, QueryState, QueryStatus, Source,
};
use crate::event::Notice;
use crate::time::Instant;

impl Discovery {
    /// The queries as shown in the health answer, in the order of the configuration.
    pub fn status(&self, now: Instant) -> Vec<QueryStatus> {
        let seconds = |at: Instant| (now - at).as_secs();
        let of_query = |(position, query): (usize, &Query)| {
            let mine = || {
                self.sources
                    .iter()
                    .filter(move |s| s.query.0 as usize == position)
            };
            let last_good = mine().filter_map(|s| s.last_good).max();
            QueryStatus {
                query: query.to_string(),
                state: self.query_state(QueryId(position as u32)),
                addresses: mine().map(|s| s.named.len()).sum(),
                age_seconds: last_good.map(seconds),
                families: mine()
                    .map(|source| FamilyStatus {
                        family: source.family,
                        state: source.state,
                        addresses: source.named.len(),
                        age_seconds: source.last_good.map(seconds),
                        cause: source.cause.clone(),
                    })
                    .collect(),
            }
        };
        self.queries.iter().enumerate().map(of_query).collect()
    }

    fn query_state(&self, query: QueryId) -> QueryState {
        let states = || {
            self.sources
                .iter()
                .filter(|s| s.query == query)
                .map(|s| s.state)
        };
        let precedence = [
            QueryState::Truncated,
            QueryState::Ok,
            QueryState::Failed,
            QueryState::Pending,
        ];
        let strongest = precedence.into_iter().find(|p| states().any(|s| s == *p));
        strongest.unwrap_or(QueryState::Empty)
    }

    /// Reports what changed with an answer, or a missing answer, of a source.
    pub(super) fn tell(&mut self, position: usize, found: &mut Found) {
        let query = self.sources[position].query;
        let state = self.query_state(query);
        let told = &mut self.told[query.0 as usize];
        if *told != state && state != QueryState::Pending {
            *told = state;
            let mut sources = self.sources.iter().filter(|s| s.query == query);
            let cause = sources.find_map(|s| s.cause.clone());
            let cause = cause.filter(|_| state == QueryState::Failed);
            found.notices.push(self.notice(query, None, state, cause));
        }
        self.tell_family(position, state, found);
    }

    fn tell_family(&mut self, position: usize, of_query: QueryState, found: &mut Found) {
        let source = &mut self.sources[position];
        let news = if source.state == QueryState::Failed {
            source.failures >= FAILURES_TOLD
                && of_query != QueryState::Failed
                && !core::mem::replace(&mut source.told_failing, true)
        } else {
            core::mem::take(&mut source.told_failing)
        };
        if news {
            let Source { query, family, .. } = *source;
            let (state, cause) = (source.state, source.cause.clone());
            found
                .notices
                .push(self.notice(query, Some(family), state, cause));
        }
    }

    fn notice(
        &self,
        query: QueryId,
        family: Option<Family>,
        state: QueryState,
        cause: Option<String>,
    ) -> Notice {
        Notice::Discovery {
            query: self.queries[query.0 as usize].to_string(),
            family,
            state,
            cause,
        }
    }
}

/// The number of consecutive failures after which a family is reported by itself.
const FAILURES_TOLD: u32 = 2;
