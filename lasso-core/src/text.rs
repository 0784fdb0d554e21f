//! Texts that others chose, made safe to show.
//!
//! A peer chooses its labels, a DNS server its error texts. In a log line such a text could forge fields
//! (`x state=ready`), begin a new line, or turn the reading direction around. [`shown`] is the one way in
//! which such texts get into log lines. Labels with characters that nobody sees are refused altogether:
//! see [`Label::new`](crate::name::Label::new).
//!
//! ```
//! use lasso_core::text::shown;
//!
//! assert_eq!(shown("iad-2").to_string(), "iad-2");
//! assert_eq!(shown("x state=ready").to_string(), r#""x state=ready""#);
//! assert_eq!(shown("a\u{202e}b\n").to_string(), r#""a\u{202e}b\n""#);
//! ```

use core::fmt::{self, Write};

/// Whether nobody sees this character, or it changes how others are seen: control and format characters,
/// line and paragraph separators, blanks other than the space, and fillers of no width.
pub fn is_hidden(c: char) -> bool {
    match c {
        ' '..='~' => false,
        // These count as letters or marks, and show nothing.
        '\u{34f}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{ffa0}'
        | '\u{e0100}'..='\u{e01ef}' => true,
        // A mark that belongs to the letter before it is escaped only where it comes first.
        _ => {
            let mut bytes = [b'a'; 5];
            let after = c.encode_utf8(&mut bytes[1..]).len();
            let text = core::str::from_utf8(&bytes[..=after]);
            text.is_ok_and(|text| text.escape_debug().nth(1) == Some('\\'))
        }
    }
}

/// The text as log lines show it: as it is, where it can be nothing but one value, else in quotes, with
/// quotes and hidden characters escaped. Read back as a string of Rust it is the same text.
pub fn shown(text: &str) -> Shown<'_> {
    Shown(text)
}

/// See [`shown`].
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.is_empty() && self.0.chars().all(is_plain) {
            return f.write_str(self.0);
        }
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' | '\n' | '\r' | '\t' => write!(f, "{}", c.escape_debug())?,
                _ if is_hidden(c) => write!(f, "{}", c.escape_unicode())?,
                _ => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

/// Whether a text of such characters alone needs no quotes.
fn is_plain(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "-_.:@/+%~[]*,#".contains(c)
    } else {
        c.is_alphanumeric() && !is_hidden(c)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_shown_as_they_are_and_what_could_forge_a_field_in_quotes() {
        for (text, expected) in [
            ("lasso@10.0.0.5:4000", "lasso@10.0.0.5:4000"),
            ("lasso@[fdaa::3]", "lasso@[fdaa::3]"),
            ("zürich", "zürich"),
            ("東京", "東京"),
            ("", r#""""#),
            ("us east", r#""us east""#),
            ("x=1", r#""x=1""#),
            ("say \"hi\" \\", r#""say \"hi\" \\""#),
            ("a\nb\r\tc", r#""a\nb\r\tc""#),
            ("\u{1b}[31m", r#""\u{1b}[31m""#),
            ("a\u{a0}b", r#""a\u{a0}b""#),
        ] {
            assert_eq!(shown(text).to_string(), expected);
        }
    }

    #[test]
    fn format_characters_separators_and_fillers_are_hidden_and_letters_with_marks_are_not() {
        let hidden = "\u{0}\u{7f}\u{85}\u{ad}\u{34f}\u{600}\u{61c}\u{115f}\u{1160}\u{180e}\u{200b}\u{200c}\
                      \u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\
                      \u{3000}\u{3164}\u{e000}\u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{e0001}\u{e0041}\u{e0100}";
        for c in hidden.chars() {
            assert!(is_hidden(c), "{c:?}");
            let text = shown(&format!("a{c}b")).to_string();
            assert!(!text.contains(c), "{c:?}");
        }
        for c in "aé\u{301}ß東ا\u{93e}€→ \"=".chars() {
            assert!(!is_hidden(c), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn a_shown_text_is_one_value_without_hidden_characters(text in any::<String>()) {
            let shown = shown(&text).to_string();
            prop_assert!(!shown.chars().any(is_hidden));
            let inner = shown.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            match inner {
                None => prop_assert!(!shown.contains([' ', '=', '"', '\\']) && shown == text),
                Some(inner) => prop_assert!(!inner.replace(r"\\", "").replace("\\\"", "").contains('"')),
            }
        }
    }
}
