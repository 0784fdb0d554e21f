//! Who somebody is, by the key that came with the request.

use std::collections::HashMap;
use std::net::IpAddr;

use axum::http::HeaderMap;
use lasso::Segment;

use super::judge::Witness;
use super::settings::{Account, Secret, Settings};

/// The header that bears it.
pub(crate) const HEADER: &str = "x-api-key";

/// Every key that is known.
#[derive(Debug)]
pub(crate) struct Keys {
    operator: Option<Secret>,
    accounts: HashMap<Secret, Account>,
}

/// Who somebody is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bearer {
    /// Somebody without a key.
    Nobody,
    /// Somebody who runs the cluster.
    Operator,
    /// An account of the profile that is asked.
    Account(Segment),
}

/// The key is none of this profile's. Whether it is another's is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownKey;

impl Keys {
    /// The keys of these settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        Keys {
            operator: settings.operator_key.clone(),
            accounts: settings.keys.clone(),
        }
    }

    /// True when nobody has a key: then there is nobody to keep apart.
    pub(crate) fn is_empty(&self) -> bool {
        self.operator.is_none() && self.accounts.is_empty()
    }

    /// True when the operator has one.
    pub(crate) fn has_operator(&self) -> bool {
        self.operator.is_some()
    }

    /// True for the operator, and for everybody where nobody has a key.
    pub(crate) fn opens_the_node(&self, headers: &HeaderMap) -> bool {
        self.is_empty() || self.is_operators(headers)
    }

    /// True when the operator's key came with the request, and nothing else.
    fn is_operators(&self, headers: &HeaderMap) -> bool {
        let operator = self.operator.as_ref();
        let given = only(headers).ok().flatten();
        given.zip(operator).is_some_and(|(key, own)| own.is(key))
    }

    /// Who asks `profile` with these headers.
    ///
    /// # Errors
    /// [`UnknownKey`]; also for two keys at once, and for one that is no text.
    pub(crate) fn bearer(
        &self,
        profile: &Segment,
        headers: &HeaderMap,
    ) -> Result<Bearer, UnknownKey> {
        let Some(key) = only(headers)? else {
            return Ok(Bearer::Nobody);
        };
        if self.is_operators(headers) {
            return Ok(Bearer::Operator);
        }
        let account = self.accounts.get(&Secret::new(key));
        let own = account.filter(|account| account.profile == *profile);
        own.map(|own| Bearer::Account(own.account.clone()))
            .ok_or(UnknownKey)
    }
}

/// The one key that came with a request; `None`: there was none.
fn only(headers: &HeaderMap) -> Result<Option<&str>, UnknownKey> {
    let mut given = headers.get_all(HEADER).iter();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(key), None) => key.to_str().map(Some).map_err(|_| UnknownKey),
        _ => Err(UnknownKey),
    }
}

impl Bearer {
    /// Whose requests these are.
    pub(crate) fn account(&self) -> Option<&Segment> {
        match self {
            Bearer::Account(account) => Some(account),
            Bearer::Nobody | Bearer::Operator => None,
        }
    }

    /// Whose experience with a provider these requests are; `from`: where they come from.
    pub(crate) fn witness(&self, from: Option<IpAddr>) -> Witness {
        match self {
            Bearer::Nobody => Witness::at(from),
            Bearer::Operator => Witness::Operator,
            Bearer::Account(account) => Witness::Account(account.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(keys: &[&'static [u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for key in keys {
            headers.append(HEADER, HeaderValue::from_bytes(key).unwrap());
        }
        headers
    }

    #[test]
    fn a_key_opens_its_own_profile_and_the_operators_every_one() {
        let profile = |name| Segment::new(name).unwrap();
        let acme = Account {
            profile: profile("p"),
            account: Segment::new("acme").unwrap(),
        };
        let keys = Keys {
            operator: Some(Secret::new("operator")),
            accounts: [(Secret::new("acmes-key"), acme.clone())].into(),
        };
        let who = |name, given: &[&'static [u8]]| keys.bearer(&profile(name), &headers(given));
        assert_eq!(who("p", &[]), Ok(Bearer::Nobody));
        assert_eq!(who("p", &[b"acmes-key"]), Ok(Bearer::Account(acme.account)));
        assert_eq!(who("q", &[b"acmes-key"]), Err(UnknownKey));
        assert_eq!(who("q", &[b"operator"]), Ok(Bearer::Operator));
        assert_eq!(who("p", &[b"acmes-keY"]), Err(UnknownKey));
        assert_eq!(who("p", &[b""]), Err(UnknownKey));
        assert_eq!(who("p", &[b"\xff"]), Err(UnknownKey));
        assert_eq!(who("p", &[b"acmes-key", b"operator"]), Err(UnknownKey));
        let opens = |given: &[&'static [u8]]| keys.opens_the_node(&headers(given));
        assert!(opens(&[b"operator"]));
        assert!(!opens(&[]) && !opens(&[b"acmes-key"]) && !opens(&[b"operator", b"operator"]));
    }

    #[test]
    fn where_nobody_has_a_key_nobody_is_kept_from_a_node() {
        let keys = Keys {
            operator: None,
            accounts: HashMap::new(),
        };
        assert!(keys.opens_the_node(&headers(&[])));
    }
}
