//! JSON-RPC 2.0 as clients send it: what is asked, and the words of an answer.
//!
//! A body is one request or a batch of them. Each is checked by itself, so that one that is wrong
//! spoils no other of its batch. Parameters, results and ids are carried as the text that came: a
//! number keeps all of its digits, and nothing is built from what a stranger nests.
//!
//! 1. Any bytes are a body or one error, without a panic; whoever calls bounds their number.
//! 2. A method that comes out of here is a label: 1 to 128 bytes without invisible characters.
//! 3. A notification, a request without an id, is never answered.

use std::borrow::Cow;

use lasso::Label;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// The body is no JSON.
pub(crate) const PARSE_ERROR: i64 = -32700;
/// It is JSON, and no request.
pub(crate) const INVALID_REQUEST: i64 = -32600;
/// There is no such method.
pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
/// The method does not take such parameters.
pub(crate) const INVALID_PARAMS: i64 = -32602;
/// Something went wrong at whoever answers.
pub(crate) const INTERNAL_ERROR: i64 = -32603;
/// The request was understood and is refused, as an unknown key is.
pub(crate) const REFUSED: i64 = -32000;
/// There is no such profile or chain.
pub(crate) const NOT_FOUND: i64 = -32001;
/// No provider could answer.
pub(crate) const UNAVAILABLE: i64 = -32002;
/// Too many, too long or too large.
pub(crate) const LIMIT_EXCEEDED: i64 = -32005;

/// Longest id, in bytes as it was written: it is repeated in the answer.
const ID_BYTES_MAX: usize = 256;

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Body {
    /// One request.
    Single(Entry),
    /// Several, in order; at least one.
    Batch(Vec<Entry>),
}

/// One request of a body.
#[derive(Debug)]
pub(crate) enum Entry {
    /// A request that may be asked.
    Call(Call),
    /// One that is wrong, and its answer.
    Wrong(Answer),
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// What the answer is to bear; `None`: a notification.
    pub(crate) id: Option<Box<RawValue>>,
    /// What is to be done.
    pub(crate) method: Label,
    /// With what: an array, an object, or nothing.
    pub(crate) params: Option<Box<RawValue>>,
}

/// The answer to one request, as it is written.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Answer {
    jsonrpc: &'static str,
    /// `null` where the request's could not be read.
    id: Option<Box<RawValue>>,
    #[serde(flatten)]
    pub(crate) said: Said,
}

/// Either of what an answer may hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    /// It was done.
    Result(Box<RawValue>),
    /// It was not.
    Error(RpcError),
}

/// Why a request was not done.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RpcError {
    /// See the constants of this module; a provider may say others.
    pub(crate) code: i64,
    /// In words.
    #[serde(default)]
    pub(crate) message: String,
    /// More of it, as a provider gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Box<RawValue>>,
}

impl RpcError {
    /// An error of the proxy's own.
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        RpcError {
            code,
            message: message.into(),
            data: None,
        }
    }
}

impl Answer {
    /// The answer to a request of that id.
    pub(crate) fn new(id: Option<Box<RawValue>>, said: Said) -> Self {
        Answer {
            jsonrpc: "2.0",
            id,
            said,
        }
    }

    /// An answer that says no.
    pub(crate) fn error(id: Option<Box<RawValue>>, code: i64, message: impl Into<String>) -> Self {
        Answer::new(id, Said::Error(RpcError::new(code, message)))
    }

    /// A no in its place.
    pub(crate) fn instead(self, code: i64, message: impl Into<String>) -> Self {
        Answer::error(self.id, code, message)
    }

    /// The answer's text.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("an answer is text and raw JSON")
    }
}

/// Reads a body with at most `batch_max` requests.
///
/// # Errors
/// The one answer to all of it: no JSON, an empty batch, or one that is too long.
pub(crate) fn parse(body: &[u8], batch_max: usize) -> Result<Body, Box<Answer>> {
    let refused = |code, message: String| Box::new(Answer::error(None, code, message));
    let whole: &RawValue = serde_json::from_slice(body)
        .map_err(|error| refused(PARSE_ERROR, format!("the body is no JSON: {error}")))?;
    if !whole.get().starts_with('[') {
        return Ok(Body::Single(entry(whole)));
    }
    let entries: Vec<&RawValue> = serde_json::from_str(whole.get())
        .map_err(|error| refused(PARSE_ERROR, format!("the batch is no JSON: {error}")))?;
    match entries.len() {
        0 => Err(refused(INVALID_REQUEST, "the batch is empty".into())),
        number if number > batch_max => Err(refused(
            LIMIT_EXCEEDED,
            format!("a batch of {number} requests is too long, {batch_max} is the most"),
        )),
        _ => Ok(Body::Batch(entries.into_iter().map(entry).collect())),
    }
}

/// A request's fields, none of them looked at.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// A field that is there, `null` included: a request with the id `null` is no notification.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

fn entry(raw: &RawValue) -> Entry {
    let wrong = |id, message: &str| Entry::Wrong(Answer::error(id, INVALID_REQUEST, message));
    if !raw.get().starts_with('{') {
        return wrong(None, "a request is an object");
    }
    let fields: Fields<'_> = match serde_json::from_str(raw.get()) {
        Ok(fields) => fields,
        Err(error) => return wrong(None, &format!("no request: {error}")),
    };
    let id = fields.id.map(RawValue::to_owned);
    if id.as_ref().is_some_and(|id| !is_id(id.get())) {
        let message =
            format!("an id is a string, a number or null, of at most {ID_BYTES_MAX} bytes");
        return wrong(None, &message);
    }
    if text(fields.jsonrpc).as_deref() != Some("2.0") {
        return wrong(id, "`jsonrpc` has to be \"2.0\"");
    }
    let method = text(fields.method).and_then(|name| Label::new("method", &name).ok());
    let Some(method) = method else {
        return wrong(
            id,
            "`method` has to be 1 to 128 bytes without invisible characters",
        );
    };
    let params = fields.params.filter(|params| params.get() != "null");
    if params.is_some_and(|params| !params.get().starts_with(['[', '{'])) {
        return wrong(id, "`params` has to be an array or an object");
    }
    Entry::Call(Call {
        id,
        method,
        params: params.map(RawValue::to_owned),
    })
}

fn text(raw: Option<&RawValue>) -> Option<Cow<'_, str>> {
    serde_json::from_str(raw?.get()).ok()
}

fn is_id(text: &str) -> bool {
    let first = text.as_bytes().first();
    text.len() <= ID_BYTES_MAX
        && first.is_some_and(|byte| matches!(byte, b'"' | b'-' | b'n' | b'0'..=b'9'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};
    use serde_json::{Value, json};

    fn call(text: &str) -> Call {
        match parse(text.as_bytes(), 10) {
            Ok(Body::Single(Entry::Call(call))) => call,
            other => panic!("{text}: {other:?}"),
        }
    }

    /// Code and id of the answer to a body that is wrong.
    fn refusal(body: &[u8]) -> (i64, Value) {
        let answer = match parse(body, 3) {
            Err(answer) => *answer,
            Ok(Body::Single(Entry::Wrong(answer))) => answer,
            other => panic!("{other:?}"),
        };
        let answer: Value = serde_json::from_str(&answer.to_json()).unwrap();
        assert_eq!(answer["jsonrpc"], "2.0");
        (
            answer["error"]["code"].as_i64().unwrap(),
            answer["id"].clone(),
        )
    }

    #[test]
    fn a_request_keeps_its_words_to_the_letter() {
        let call = call(
            r#" {"id": 12345678901234567890123, "method": "eth_call", "jsonrpc": "2.0",
                "params": [1.10, {"a" : 1}], "more": {}} "#,
        );
        assert_eq!(call.id.unwrap().get(), "12345678901234567890123");
        assert_eq!(call.method.as_str(), "eth_call");
        assert_eq!(call.params.unwrap().get(), r#"[1.10, {"a" : 1}]"#);
    }

    #[test]
    fn a_request_without_an_id_is_a_notification_and_one_with_null_is_not() {
        assert!(call(r#"{"jsonrpc":"2.0","method":"m"}"#).id.is_none());
        let null = call(r#"{"jsonrpc":"2.0","method":"m","id":null,"params":null}"#);
        assert_eq!(null.id.unwrap().get(), "null");
        assert!(null.params.is_none());
    }

    #[test]
    fn what_is_wrong_has_its_code_and_bears_the_id_where_it_could_be_read() {
        let long = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#,
            "m".repeat(129)
        );
        let long_id = format!(
            r#"{{"jsonrpc":"2.0","id":"{}","method":"m"}}"#,
            "i".repeat(256)
        );
        for (body, code, id) in [
            ("", PARSE_ERROR, json!(null)),
            ("{", PARSE_ERROR, json!(null)),
            ("\u{0}", PARSE_ERROR, json!(null)),
            (r#"{"jsonrpc":"2.0"} {}"#, PARSE_ERROR, json!(null)),
            ("[]", INVALID_REQUEST, json!(null)),
            ("[1,2,3,4]", LIMIT_EXCEEDED, json!(null)),
            ("7", INVALID_REQUEST, json!(null)),
            ("null", INVALID_REQUEST, json!(null)),
            (r#"{"id":7,"method":"m"}"#, INVALID_REQUEST, json!(7)),
            (
                r#"{"jsonrpc":"1.0","id":7,"method":"m"}"#,
                INVALID_REQUEST,
                json!(7),
            ),
            (r#"{"jsonrpc":"2.0","id":"x"}"#, INVALID_REQUEST, json!("x")),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":5}"#,
                INVALID_REQUEST,
                json!(1),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":""}"#,
                INVALID_REQUEST,
                json!(1),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"a\nb"}"#,
                INVALID_REQUEST,
                json!(1),
            ),
            (&long, INVALID_REQUEST, json!(1)),
            (&long_id, INVALID_REQUEST, json!(null)),
            (
                r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#,
                INVALID_REQUEST,
                json!(null),
            ),
            (
                r#"{"jsonrpc":"2.0","id":true,"method":"m"}"#,
                INVALID_REQUEST,
                json!(null),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#,
                INVALID_REQUEST,
                json!(null),
            ),
            (
                r#"{"jsonrpc":"2.0","id":1,"method":"m","params":"x"}"#,
                INVALID_REQUEST,
                json!(1),
            ),
        ] {
            assert_eq!(refusal(body.as_bytes()), (code, id), "{body}");
        }
        assert_eq!(refusal(b"{\"jsonrpc\":\"\xff\"}").0, PARSE_ERROR);
    }

    #[test]
    fn one_that_is_wrong_spoils_no_other_of_its_batch() {
        let body =
            br#"[{"jsonrpc":"2.0","id":1,"method":"a"}, [1], {"jsonrpc":"2.0","method":"b"}]"#;
        let Ok(Body::Batch(entries)) = parse(body, 3) else {
            panic!("it is a batch");
        };
        assert!(matches!(&entries[0], Entry::Call(call) if call.method.as_str() == "a"));
        assert!(matches!(&entries[1], Entry::Wrong(_)));
        assert!(matches!(&entries[2], Entry::Call(call) if call.id.is_none()));
    }

    #[test]
    fn a_body_of_nothing_but_brackets_costs_no_stack() {
        let deep = "[".repeat(1 << 20);
        assert_eq!(refusal(deep.as_bytes()).0, PARSE_ERROR);
        let nested = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{}{}}}"#,
            "[".repeat(1 << 19),
            "]".repeat(1 << 19)
        );
        assert_eq!(call(&nested).params.unwrap().get().len(), 1 << 20);
    }

    #[test]
    fn answers_are_written_as_the_specification_has_them() {
        let id = || RawValue::from_string("7".into()).ok();
        let done = RawValue::from_string("\"0x1\"".into()).unwrap();
        assert_eq!(
            Answer::new(id(), Said::Result(done)).to_json(),
            r#"{"jsonrpc":"2.0","id":7,"result":"0x1"}"#
        );
        assert_eq!(
            Answer::error(None, PARSE_ERROR, "no").to_json(),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"no"}}"#
        );
    }

    const PARTS: [&str; 20] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\"",
        "\\",
        "\"jsonrpc\":\"2.0\"",
        "\"id\":",
        "7",
        "null",
        "\"method\":",
        "\"eth_call\"",
        "\"a\\u0000b\"",
        "\"params\":",
        "[]",
        "\u{85}",
        "{}",
    ];

    /// A text of what requests are made of, or one that is a request but for its fields' values; now and
    /// then with a byte that is anything.
    fn scrambled(rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut part = || PARTS[rng.next_u32() as usize % PARTS.len()];
        let text = match part() {
            "{" | "}" | "[" | "]" | "," | ":" => (0..20).map(|_| part()).collect(),
            _ => format!(
                r#"{{"jsonrpc":"2.0","id":{},"method":{},"params":{}}}"#,
                part(),
                part(),
                part()
            ),
        };
        let mut text = text.into_bytes();
        if rng.next_u32().is_multiple_of(4) {
            let place = rng.next_u32() as usize % text.len();
            text[place] = rng.next_u32() as u8;
        }
        text
    }

    #[test]
    fn any_bytes_are_requests_with_methods_that_are_labels_or_answers_that_are_json() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut calls = 0;
        for _ in 0..200_000 {
            let entries = match parse(&scrambled(&mut rng), 3) {
                Ok(Body::Single(entry)) => vec![entry],
                Ok(Body::Batch(entries)) => entries,
                Err(answer) => vec![Entry::Wrong(*answer)],
            };
            for entry in entries {
                match entry {
                    Entry::Call(call) => {
                        calls += 1;
                        assert!((1..=128).contains(&call.method.as_str().len()));
                        assert!(!call.method.as_str().contains(char::is_control));
                    }
                    Entry::Wrong(answer) => {
                        serde_json::from_str::<Value>(&answer.to_json()).unwrap();
                    }
                }
            }
        }
        assert!(calls > 100, "{calls}");
    }
}
