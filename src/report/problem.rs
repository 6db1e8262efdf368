//! Problems as people read them: the source line, a caret, and what would be right.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::problem::{Problem, Problems};

use super::style::Style;

/// One problem with its source line and a caret under the place.
pub fn problem_text(problem: &Problem, style: Style) -> String {
    let renderer = if style.color { Renderer::styled() } else { Renderer::plain() };
    let mut report = vec![];
    let title = Level::ERROR.primary_title(problem.message.as_str()).id(problem.code);
    let path;
    let mut group = match &problem.span {
        Some(span) => {
            path = span.file.display_path();
            // What was encrypted is not shown, not even around a mistake.
            let text = if span.file.secret { "" } else { span.file.text.as_str() };
            let start = span.start.min(text.len());
            let end = span.end.clamp(start, text.len());
            // A caret under the first line only: blocks of many lines would bury the message.
            let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
            let end = end.min(line_end).max(start);
            if text.is_empty() {
                title.elements([annotate_snippets::Origin::path(path)])
            } else {
                let mut annotation = AnnotationKind::Primary.span(start..end);
                if let Some(label) = &problem.label {
                    annotation = annotation.label(label.as_str());
                }
                title.element(Snippet::source(text).path(path).annotation(annotation))
            }
        }
        None => annotate_snippets::Group::with_title(title),
    };
    for note in &problem.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    for help in &problem.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    report.push(group);
    let mut text = renderer.render(&report).to_string();
    text.push('\n');
    text
}

/// All problems, one after the other, and how many.
pub fn problems_text(problems: &Problems, style: Style) -> String {
    let mut text = String::new();
    for problem in &problems.0 {
        text.push_str(&problem_text(problem, style));
        text.push('\n');
    }
    if problems.0.len() > 1 {
        text.push_str(&format!("{} problems\n", problems.0.len()));
    }
    text
}

/// A problem in words without the drawing: for results and events.
pub fn plain_problem(problem: &Problem) -> String {
    let mut text = problem.message.clone();
    if let Some(span) = &problem.span {
        text.push_str(&format!(" ({span})"));
    }
    for help in &problem.help {
        text.push_str(&format!("; {help}"));
    }
    for note in &problem.notes {
        text.push_str(&format!("; {note}"));
    }
    text
}
