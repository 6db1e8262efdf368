//! Expected errors: what is wrong in an operator's input, where, and what would be right.
//!
//! Anything that reads files returns [`Problem`]s; `report/` draws them with the source line and a caret.
//! Bugs are panics, never a `Problem`.

use std::fmt;

use crate::source::Span;

/// One thing that is wrong. Messages are lower case, names in backticks, no final full stop.
#[derive(Debug, Clone)]
pub struct Problem {
    /// Stable kebab-case name of the kind, e.g. `undefined-variable`.
    pub code: &'static str,
    pub message: String,
    pub span: Option<Span>,
    /// A few words put under the caret.
    pub label: Option<String>,
    /// What would be right; each is one `help:` line.
    pub help: Vec<String>,
    /// Context, e.g. how the place was reached; each is one `note:` line.
    pub notes: Vec<String>,
}

impl Problem {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), span: None, label: None, help: vec![], notes: vec![] }
    }

    /// What the language has and kdeploy does not have yet: `not supported yet: …`.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new("not-supported", format!("not supported yet: {what}"))
    }

    pub fn at(mut self, span: &Span) -> Self {
        self.span = Some(span.clone());
        self
    }

    /// Sets the place only where none is known yet.
    pub fn or_at(mut self, span: &Span) -> Self {
        if self.span.is_none() {
            self.span = Some(span.clone());
        }
        self
    }

    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.label = Some(text.into());
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds `did you mean …` when a name near `given` is among `known`.
    pub fn nearest<'a>(self, given: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(given, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.span {
            Some(span) => write!(f, "{span}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for Problem {}

/// Several problems found in one go.
#[derive(Debug, Clone, Default)]
pub struct Problems(pub Vec<Problem>);

impl From<Problem> for Problems {
    fn from(p: Problem) -> Self {
        Self(vec![p])
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{p}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The known name nearest to a mistyped one, if any is near enough to be a likely typing error.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given_lower = given.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&given_lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(given.chars().count()) / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
