//! Template files: their header line, delimiters and newlines.

use minijinja::Value;

use super::eval::Interp;
use super::place::Origin;
use super::syntax::LexOptions;
use super::{Context, EvalError};
use crate::problem::Problem;
use crate::resources::TemplateRequest;
use crate::source::SourceFile;

const HEADER: &str = "#jinja2:";

pub fn render(context: &Context, request: &TemplateRequest) -> Result<String, EvalError> {
    let file = SourceFile::new(&request.path, request.text.clone());
    let mut options = LexOptions {
        trim_blocks: request.trim_blocks,
        lstrip_blocks: request.lstrip_blocks,
        // Ansible lets Jinja drop the last newline and puts back as many as the file ends with
        keep_trailing_newline: false,
        escapes: true,
        ..LexOptions::default()
    };
    let set = |slot: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            slot.clone_from(value);
        }
    };
    set(&mut options.variable.0, &request.variable_start);
    set(&mut options.variable.1, &request.variable_end);
    set(&mut options.block.0, &request.block_start);
    set(&mut options.block.1, &request.block_end);
    set(&mut options.comment.0, &request.comment_start);
    set(&mut options.comment.1, &request.comment_end);
    let mut newline =
        if request.newline_sequence.is_empty() { "\n".to_owned() } else { unescaped(&request.newline_sequence) };
    let base = header_end(&request.text);
    if base > 0 {
        header(&request.text[HEADER.len()..base], &mut options, &mut newline).map_err(|message| {
            let span = crate::source::Span::new(&file, 0, base.saturating_sub(1));
            EvalError::Failed(Problem::new("template-header", message).at(&span))
        })?;
    }
    for mark in [
        &options.variable.0,
        &options.variable.1,
        &options.block.0,
        &options.block.1,
        &options.comment.0,
        &options.comment.1,
    ] {
        if mark.is_empty() {
            return Err(EvalError::Failed(Problem::new("template-header", "a template's delimiter is empty")));
        }
    }
    let body = &request.text[base..];
    if ![&options.variable.0, &options.block.0, &options.comment.0].iter().any(|mark| body.contains(mark.as_str())) {
        return Ok(body.to_owned());
    }
    let origin = Origin::File(file, base);
    let engine = context.engine().clone();
    let template = engine.compile(body, &options, &origin)?;
    let mut interp = Interp::new(context, engine.environment(), origin, options)?;
    for (name, value) in &request.variables {
        interp.define(name, value.clone());
    }
    let pieces = interp.template(&template)?;
    // A file that is one expression keeps the expression's value, and then no newline is given back.
    let value = interp.join(pieces)?;
    let text = match value.as_str() {
        Some(text) => super::context::with_last_newlines(text.to_owned(), body),
        None => interp.join_text(&[value])?,
    };
    Ok(if newline == "\n" { text } else { text.replace('\n', &newline) })
}

/// Where the template begins behind a `#jinja2:` line; 0 without one.
fn header_end(text: &str) -> usize {
    let Some(rest) = text.strip_prefix(HEADER) else { return 0 };
    let line = rest.split('\n').next().unwrap_or_default();
    (HEADER.len() + line.len() + 1).min(text.len())
}

/// Takes the options of a `#jinja2:` line; where the template begins behind it.
pub fn read_header(text: &str, options: &mut LexOptions) -> Result<usize, Problem> {
    let base = header_end(text);
    if base > 0 {
        let mut newline = String::new();
        header(&text[HEADER.len()..base], options, &mut newline)
            .map_err(|message| Problem::new("template-header", message))?;
    }
    Ok(base)
}

fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\r", "\r")
}

/// `trim_blocks: True, variable_start_string: '<%'`.
fn header(line: &str, options: &mut LexOptions, newline: &mut String) -> Result<(), String> {
    for pair in line.trim().split(',') {
        if pair.trim().is_empty() {
            continue;
        }
        let (key, value) = pair.split_once(':').ok_or_else(|| format!("`{}` is not `option: value`", pair.trim()))?;
        let (key, value) = (key.trim(), value.trim());
        let text = || value.trim_matches(['\'', '"']).to_owned();
        let boolean = || match value {
            "True" | "true" => Ok(true),
            "False" | "false" => Ok(false),
            _ => Err(format!("`{key}` needs True or False, not `{value}`")),
        };
        match key {
            "trim_blocks" => options.trim_blocks = boolean()?,
            "lstrip_blocks" => options.lstrip_blocks = boolean()?,
            "keep_trailing_newline" => options.keep_trailing_newline = boolean()?,
            "variable_start_string" => options.variable.0 = text(),
            "variable_end_string" => options.variable.1 = text(),
            "block_start_string" => options.block.0 = text(),
            "block_end_string" => options.block.1 = text(),
            "comment_start_string" => options.comment.0 = text(),
            "comment_end_string" => options.comment.1 = text(),
            "newline_sequence" => *newline = unescaped(&text()),
            _ => return Err(format!("unknown option `{key}` in the template's `#jinja2:` line")),
        }
    }
    Ok(())
}

/// Kept for lookups: a request with Ansible's defaults.
pub fn request(
    path: impl Into<std::path::PathBuf>,
    text: impl Into<String>,
    variables: Vec<(String, Value)>,
) -> TemplateRequest {
    TemplateRequest {
        text: text.into(),
        path: path.into(),
        trim_blocks: true,
        newline_sequence: "\n".into(),
        variables,
        ..TemplateRequest::default()
    }
}
