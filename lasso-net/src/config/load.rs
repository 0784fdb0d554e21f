//! Layers of texts into one configuration: flag, environment, file, default, in that order.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use toml::{Spanned, Value};
use zeroize::{Zeroize, Zeroizing};

use super::error::shown;
use super::{
    Config, ConfigError, ConfigErrors, ConfigWarning, Origin, VARIABLES, Variable, relations,
};

/// A configuration that holds together, and where each part of it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every variable, in the order of the table.
    pub rows: Vec<Row>,
    /// What works and will surprise somebody.
    pub warnings: Vec<ConfigWarning>,
}

/// One variable of a loaded configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its value as it was written, or the default; a secret as the number of its bytes.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Collects the layers. An empty value counts as unset, in every layer; blanks around a value are
/// dropped.
#[derive(Default)]
pub struct Loader {
    config: Config,
    /// Overwritten when they are dropped: some are secrets.
    given: BTreeMap<&'static str, (Zeroizing<String>, Origin)>,
    errors: Vec<ConfigError>,
    warnings: Vec<ConfigWarning>,
}

impl std::fmt::Debug for Loader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loader")
            .field("given", &self.given.keys())
            .finish_non_exhaustive()
    }
}

impl Loader {
    /// Nothing but defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Development: a short cookie is accepted.
    #[must_use]
    pub fn dev(mut self, dev: bool) -> Self {
        self.config.dev = dev;
        self
    }

    /// Values of flags, by the variables' names.
    #[must_use]
    pub fn flags<N: AsRef<str>, V: Into<String>>(
        mut self,
        flags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in flags {
            match Variable::named(name.as_ref()) {
                Some(variable) => self.offer(variable, value.into(), Origin::Flag),
                None => self.unknown(name.as_ref().to_owned().into(), Origin::Flag),
            }
        }
        self
    }

    /// The environment, such as `std::env::vars()`. Unknown names that start with `CLUSTER_` are
    /// warned about, all others ignored.
    #[must_use]
    pub fn environment<N: AsRef<str>, V: Into<String>>(
        mut self,
        environment: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        for (name, value) in environment {
            let name = name.as_ref();
            if let Some(variable) = Variable::named(name) {
                self.offer(variable, value.into(), Origin::Environment);
            } else if name.starts_with("CLUSTER_") {
                let text = format!(
                    "no such variable, it has no effect{}",
                    did_you_mean(name, |v| v.name.into())
                );
                self.warnings.push(ConfigWarning {
                    variable: shown(name).into(),
                    text,
                });
            }
        }
        self
    }

    /// The environment of this process. A value that is not UTF-8 is an error where it belongs to a
    /// variable of the table, and ignored elsewhere.
    #[must_use]
    pub fn process_environment(mut self) -> Self {
        let mut texts = Vec::new();
        for (name, value) in std::env::vars_os() {
            let Ok(name) = name.into_string() else {
                continue;
            };
            match value.into_string() {
                Ok(value) => texts.push((name, value)),
                Err(_) => self.not_text(&name),
            }
        }
        self.environment(texts)
    }

    pub(super) fn not_text(&mut self, name: &str) {
        if let Some(variable) = Variable::named(name) {
            self.errors.push(ConfigError {
                variable: variable.name.into(),
                value: None,
                origin: Origin::Environment,
                problem: "it is not UTF-8".into(),
                accepted: variable.accepted.into(),
            });
        }
    }

    /// A TOML file, read from disk.
    #[must_use]
    pub fn file(mut self, path: &Path) -> Self {
        match std::fs::read_to_string(path).map(Zeroizing::new) {
            Ok(text) => self.text(path, &text),
            Err(error) => {
                self.errors.push(ConfigError {
                    variable: "--config".into(),
                    value: None,
                    origin: Origin::File {
                        path: path.into(),
                        line: 0,
                    },
                    problem: error.to_string(),
                    accepted: "a TOML file that this process may read".into(),
                });
                self
            }
        }
    }

    /// A TOML file that was read already; `path` is for errors.
    #[must_use]
    pub fn text(mut self, path: &Path, text: &str) -> Self {
        let origin = |offset: usize| {
            let line = 1 + text
                .as_bytes()
                .iter()
                .take(offset)
                .filter(|byte| **byte == b'\n')
                .count();
            Origin::File {
                path: PathBuf::from(path),
                line,
            }
        };
        let keys: BTreeMap<Spanned<String>, Spanned<Value>> = match toml::from_str(text) {
            Ok(keys) => keys,
            Err(error) => {
                // The error's own text shows the line, and there may be a secret in it.
                self.errors.push(ConfigError {
                    variable: "--config".into(),
                    value: None,
                    origin: origin(error.span().map_or(0, |span| span.start)),
                    problem: "it is not TOML".into(),
                    accepted: "lines of the form `cluster_name = \"lasso\"`".into(),
                });
                return self;
            }
        };
        for (key, mut value) in keys {
            let origin = origin(key.span().start);
            match VARIABLES
                .iter()
                .find(|variable| variable.key() == *key.get_ref())
            {
                None => self.unknown(key.into_inner().into(), origin),
                Some(variable) => match flat(value.get_ref()) {
                    Some(text) => self.offer(variable, text, origin),
                    None => self.errors.push(ConfigError {
                        variable: variable.name.into(),
                        value: None,
                        origin,
                        problem: format!("it is a {}", value.get_ref().type_str()),
                        accepted: variable.accepted.into(),
                    }),
                },
            }
            if let Value::String(text) = value.get_mut() {
                text.zeroize();
            }
        }
        self
    }

    /// Puts the layers together.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the table; unknown keys and files come first.
    pub fn load(mut self) -> Result<Loaded, ConfigErrors> {
        let mut broken = BTreeSet::new();
        let mut rows = Vec::new();
        for variable in VARIABLES {
            let Some((text, origin)) = self.given.get(variable.name) else {
                let value = variable.default.to_owned();
                rows.push(Row {
                    name: variable.name,
                    value,
                    origin: Origin::Default,
                });
                continue;
            };
            if let Err(problem) = (variable.set)(&mut self.config, text) {
                broken.insert(variable.name);
                self.errors.push(ConfigError {
                    variable: variable.name.into(),
                    value: (!variable.secret).then(|| shown(text)),
                    origin: origin.clone(),
                    problem,
                    accepted: variable.accepted.into(),
                });
            }
            let value = if variable.secret {
                format!("({} bytes)", text.len())
            } else {
                shown(text)
            };
            rows.push(Row {
                name: variable.name,
                value,
                origin: origin.clone(),
            });
        }
        let origin = |name: &str| {
            self.given
                .get(name)
                .map_or(Origin::Default, |(_, origin)| origin.clone())
        };
        match relations::check(&self.config, &broken, &origin) {
            Ok(warnings) => self.warnings.extend(warnings),
            Err(errors) => self.errors.extend(errors.0),
        }
        if self.errors.is_empty() {
            Ok(Loaded {
                config: self.config,
                rows,
                warnings: self.warnings,
            })
        } else {
            Err(ConfigErrors(self.errors))
        }
    }

    /// Takes a value unless a higher layer gave one.
    fn offer(&mut self, variable: &'static Variable, text: String, origin: Origin) {
        let text = Zeroizing::new(text);
        let text = text.trim();
        let higher = self
            .given
            .get(variable.name)
            .is_some_and(|(_, other)| *other > origin);
        if !text.is_empty() && !higher {
            self.given
                .insert(variable.name, (Zeroizing::new(text.to_owned()), origin));
        }
    }

    fn unknown(&mut self, name: Cow<'static, str>, origin: Origin) {
        let hint = did_you_mean(&name, Variable::key);
        self.errors.push(ConfigError {
            problem: format!("no such key{hint}"),
            variable: shown(&name).into(),
            value: None,
            origin,
            accepted: "the variables' names in lower case".into(),
        });
    }
}

/// `; did you mean …?` where a name is close enough to a known one.
fn did_you_mean(name: &str, dress: impl Fn(&Variable) -> String) -> String {
    VARIABLES
        .iter()
        .map(dress)
        .map(|known| (strsim::damerau_levenshtein(name, &known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3)
        .map_or(String::new(), |(_, known)| {
            format!("; did you mean `{known}`?")
        })
}

/// A TOML value as the text that a variable would hold; lists are joined by commas.
fn flat(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Array(parts) => {
            let parts: Option<Vec<_>> = parts
                .iter()
                .map(|part| if part.is_array() { None } else { flat(part) })
                .collect();
            parts.map(|parts| parts.join(","))
        }
        _ => None,
    }
}
