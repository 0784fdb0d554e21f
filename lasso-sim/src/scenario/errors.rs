//! The mistakes of a file: the place, the mistake, and the correction.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use super::model::{Loc, Source};

/// One mistake in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place: bytes of the text.
    pub span: Range<usize>,
    /// The mistake, with the offending name or value.
    pub message: String,
    /// The suggestion that is shown beneath the place.
    pub label: Option<String>,
    /// General help.
    pub help: Option<String>,
    /// Another place that explains it.
    pub also: Option<(Range<usize>, String)>,
}

impl Diagnostic {
    /// A mistake at a place.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Diagnostic {
            span,
            message: message.into(),
            label: None,
            help: None,
            also: None,
        }
    }

    /// Adds a few words beneath the place.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Adds help.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds another place that explains the mistake.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    fn render(&self, source: &Source, renderer: &Renderer) -> String {
        let path = source.path.display().to_string();
        let mut primary = AnnotationKind::Primary.span(clamp(&self.span, &source.text));
        if let Some(label) = &self.label {
            primary = primary.label(label.as_str());
        }
        let mut snippet = Snippet::source(source.text.as_str())
            .path(path)
            .annotation(primary);
        if let Some((span, label)) = &self.also {
            let span = clamp(span, &source.text);
            snippet = snippet.annotation(AnnotationKind::Context.span(span).label(label.as_str()));
        }
        let mut group = Level::ERROR
            .primary_title(self.message.as_str())
            .element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }
}

/// A span within the text and not longer than its first line, so that the shown part stays short.
fn clamp(span: &Range<usize>, text: &str) -> Range<usize> {
    let start = span.start.min(text.len());
    let end = span.end.clamp(start, text.len());
    let end = text[start..end]
        .find('\n')
        .map_or(end, |newline| start + newline);
    start..end
}

/// All mistakes of one file, at least one. The file's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadFile {
    /// The file.
    pub source: Arc<Source>,
    /// Its mistakes, by place.
    pub diagnostics: Vec<Diagnostic>,
}

impl BadFile {
    /// The mistakes as text, each with its line, for a terminal with colours or for a file.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let texts: Vec<String> = self
            .diagnostics
            .iter()
            .map(|d| d.render(&self.source, &renderer))
            .collect();
        texts.join("\n\n")
    }

    /// Each mistake's place and message.
    pub fn places(&self) -> impl Iterator<Item = (Loc, &str)> {
        self.diagnostics
            .iter()
            .map(|d| (locate(&self.source.text, &d.span), d.message.as_str()))
    }
}

impl fmt::Display for BadFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for BadFile {}

/// Line and column of a span.
pub(crate) fn locate(text: &str, span: &Range<usize>) -> Loc {
    let start = span.start.min(text.len());
    let before = &text.as_bytes()[..start];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[line_start..])
        .chars()
        .count()
        + 1;
    Loc {
        span: span.clone(),
        line,
        column,
    }
}

/// ` (did you mean …?)` if one of `known` is close to `word`.
pub(crate) fn did_you_mean<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let close = |other: &&str| {
        let distance = strsim::damerau_levenshtein(word, other);
        let longer = word.chars().count().max(other.chars().count());
        // Words without a common letter are not close, however short they are.
        distance <= 1 + longer / 4 && distance < longer
    };
    let distance = |other: &&str| strsim::damerau_levenshtein(word, other);
    known.into_iter().filter(close).min_by_key(distance)
}
