//! `[ERROR]: Task failed: …` with the place of the task, as ansible-core 2.19 shows it.

use crate::plan::{Status, Step};
use crate::source::Span;

use super::dump::module_of;

/// Modules that Ansible runs on the control machine: their failures are called the action's.
const ACTIONS: &[&str] = &[
    "fail",
    "assert",
    "debug",
    "set_fact",
    "include_vars",
    "add_host",
    "group_by",
    "pause",
    "set_stats",
    "validate_argument_spec",
    "template",
    "copy",
    "script",
    "raw",
    "fetch",
    "unarchive",
    "assemble",
    "wait_for_connection",
    "reboot",
];

/// The lines above a failure's `fatal:`.
pub fn error(step: &Step, adhoc: Option<&str>) -> String {
    let message = match step.result.values.get("msg").map(crate::resources::text_of) {
        Some(message) if !step.no_log || step.result.values.contains_key("rc") => message,
        _ => step.because.clone().unwrap_or_default(),
    };
    let module = module_of(step);
    let whose = if step.invalid || step.status == Status::Unreachable {
        ""
    } else if step.result.values.get("failed_when_result").is_some_and(minijinja::Value::is_true) {
        if message.is_empty() { "Action failed." } else { "Action failed: " }
    } else if ACTIONS.contains(&module) {
        "Action failed: "
    } else {
        "Module failed: "
    };
    let mut out = format!("[ERROR]: Task failed: {whose}{message}\n");
    if let Some(task) = adhoc {
        out.push_str(&format!("Origin: <adhoc '{}' task>\n\n{task}\n", step.action));
        return out;
    }
    out.push_str(&place_text(&step.span));
    out
}

/// Longer lines are cut, as Ansible cuts them.
const LINE: usize = 120;

/// `Origin: path:line:column` and the lines there, with two before.
pub fn place_text(span: &Span) -> String {
    let (line, column) = span.file.line_col(span.start);
    let path = std::path::absolute(&span.file.path).unwrap_or_else(|_| span.file.path.clone());
    let mut out = format!("Origin: {}:{line}:{column}\n\n", path.display());
    let width = line.to_string().len();
    let first = line.saturating_sub(2).max(1);
    for (index, text) in span.file.text.lines().enumerate().skip(first - 1).take(line + 1 - first) {
        let mut shown = format!("{:>width$} {text}", index + 1);
        if shown.chars().count() > LINE {
            shown = shown.chars().take(LINE - 3).collect::<String>() + "...";
        }
        out.push_str(shown.trim_end());
        out.push('\n');
    }
    out.push_str(&format!("{}^ column {column}\n", " ".repeat(width + column)));
    out
}
