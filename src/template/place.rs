//! Where a template's text stands in a file.

use std::sync::Arc;

use crate::source::{SourceFile, Span};
use crate::yaml::Node;

/// What turns an offset of a template's text into a place of a file.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A scalar of a YAML file whose text is the template.
    Node(Node),
    /// A template file, and where its template begins.
    File(Arc<SourceFile>, usize),
    /// Text that stands nowhere as it is (made by another template).
    Span(Span),
    Nowhere,
}

impl Origin {
    pub fn span(&self, start: usize, end: usize) -> Option<Span> {
        match self {
            Self::Node(node) => Some(node.span_at(start, end.saturating_sub(start))),
            Self::File(file, base) => Some(Span::new(file, base + start, base + end)),
            Self::Span(span) => Some(span.clone()),
            Self::Nowhere => None,
        }
    }
}
