//! What came of asking one provider, and whose fault it is.

use std::time::Duration;

use super::jsonrpc::{
    INTERNAL_ERROR, INVALID_PARAMS, INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND, PARSE_ERROR,
    REFUSED, Said,
};

/// What came of asking one provider.
pub(crate) type Reply = Result<Said, Failure>;

/// Why there is no JSON-RPC answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection, or it was lost.
    Unreachable,
    /// Nothing came in time.
    Timeout,
    /// It refuses requests as too many, and may have said for how long.
    RateLimited(Option<Duration>),
    /// Another status of HTTP than success.
    Status(u16),
    /// It is no answer of JSON-RPC.
    Malformed,
    /// The answer is larger than the proxy takes.
    TooLarge,
}

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was done.
    Done,
    /// The provider works, and the client asked for what cannot be done: of this category.
    Client(&'static str),
    /// The provider works, and does not do this one: more than its share, or too large a question.
    /// Another may; who is right cannot be told, so it is held against nobody.
    Declined,
    /// The provider answers that it failed or will not, of this category. Another may do better; the question
    /// itself may be what is wrong, so it is held against this one only if another does it.
    Doubted(&'static str),
    /// The provider works, and has had enough for so long.
    RateLimited(Duration),
    /// No answer came, or none that can be read, of this category; another may do better. Even so the
    /// question may be the cause.
    Provider(&'static str),
}

impl Verdict {
    /// Judges a reply.
    pub(crate) fn of(reply: &Reply) -> Verdict {
        match reply {
            Ok(Said::Result(_)) => Verdict::Done,
            Ok(Said::Error(error)) => match error.code {
                // 3 is a reverted execution; nodes say -32000 for nonces, funds and the like.
                3 | REFUSED | PARSE_ERROR | INVALID_REQUEST | METHOD_NOT_FOUND | INVALID_PARAMS => {
                    Verdict::Client("client error")
                }
                // Said of too many requests, and of a question with too large an answer as well: a
                // client that asks such questions is not to keep others from a provider.
                LIMIT_EXCEEDED => Verdict::Declined,
                429 => Verdict::RateLimited(PAUSE),
                // Said of odd parameters, too: a client that sends such is not to keep others from a
                // provider either.
                INTERNAL_ERROR => Verdict::Doubted("internal error"),
                -32099..=-32001 => Verdict::Doubted("server error"),
                // What else there is, an application has chosen; another provider would say it too.
                _ => Verdict::Client("client error"),
            },
            Err(Failure::RateLimited(pause)) => {
                Verdict::RateLimited(pause.unwrap_or(PAUSE).clamp(PAUSE_MIN, PAUSE_MAX))
            }
            // As large with all others.
            Err(Failure::TooLarge) => Verdict::Client(Failure::TooLarge.category()),
            // It says that the request is what is wrong.
            Err(failure @ Failure::Status(400..=499)) => Verdict::Doubted(failure.category()),
            Err(failure) => Verdict::Provider(failure.category()),
        }
    }

    /// True when another provider may do better.
    pub(crate) fn may_fail_over(self) -> bool {
        matches!(
            self,
            Verdict::Declined
                | Verdict::Doubted(_)
                | Verdict::RateLimited(_)
                | Verdict::Provider(_)
        )
    }

    /// What kind of error it is, as events name it; `None` where it was done.
    pub(crate) fn category(self) -> Option<&'static str> {
        match self {
            Verdict::Done => None,
            Verdict::Declined | Verdict::RateLimited(_) => Some("rate limited"),
            Verdict::Client(category)
            | Verdict::Doubted(category)
            | Verdict::Provider(category) => Some(category),
        }
    }
}

impl Failure {
    /// What kind of error it is, as events name it.
    pub(crate) fn category(&self) -> &'static str {
        match self {
            Failure::Unreachable => "unreachable",
            Failure::Timeout => "timeout",
            Failure::RateLimited(_) => "rate limited",
            Failure::Status(_) => "http error",
            Failure::Malformed => "malformed answer",
            Failure::TooLarge => "answer too large",
        }
    }

    /// Its number, where it has one.
    pub(crate) fn code(&self) -> Option<i64> {
        match self {
            Failure::Status(status) => Some(i64::from(*status)),
            Failure::RateLimited(_) => Some(429),
            _ => None,
        }
    }
}

/// A provider that says no more than "too many" is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);
/// However short a pause it asks for.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// However long a pause it asks for: a typing error over there is not to shut it out for a day.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::super::jsonrpc::RpcError;
    use super::*;

    #[test]
    fn the_fault_is_found_by_code_and_status() {
        let second = Duration::from_secs(1);
        let error = |code| Ok(Said::Error(RpcError::new(code, "")));
        for (reply, verdict) in [
            (error(3), Verdict::Client("client error")),
            (error(-32000), Verdict::Client("client error")),
            (error(-32601), Verdict::Client("client error")),
            (error(4_001), Verdict::Client("client error")),
            (error(-32603), Verdict::Doubted("internal error")),
            (error(-32002), Verdict::Doubted("server error")),
            (error(-32099), Verdict::Doubted("server error")),
            (error(-32005), Verdict::Declined),
            (error(429), Verdict::RateLimited(second)),
            (
                Err(Failure::RateLimited(None)),
                Verdict::RateLimited(second),
            ),
            (
                Err(Failure::RateLimited(Some(Duration::MAX))),
                Verdict::RateLimited(60 * second),
            ),
            (Err(Failure::Timeout), Verdict::Provider("timeout")),
            (Err(Failure::Status(503)), Verdict::Provider("http error")),
            (Err(Failure::Status(400)), Verdict::Doubted("http error")),
            (Err(Failure::Status(413)), Verdict::Doubted("http error")),
            (Err(Failure::TooLarge), Verdict::Client("answer too large")),
        ] {
            assert_eq!(Verdict::of(&reply), verdict, "{reply:?}");
            let ends_there = matches!(verdict, Verdict::Client(_));
            assert_eq!(verdict.may_fail_over(), !ends_there, "{reply:?}");
        }
    }
}
