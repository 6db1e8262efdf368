//! The result of one module on one host, as `ansible` prints it.

use crate::plan::{Status, Step};

use super::json::value_json;
use super::style::Style;

/// `host | CHANGED => {…}`; for commands `host | CHANGED | rc=0 >>` and the output.
pub fn adhoc_text(step: &Step, style: Style) -> String {
    let word = match step.status {
        Status::Ok | Status::Unknown => "SUCCESS",
        Status::Changed => "CHANGED",
        Status::Failed => "FAILED",
        Status::Skipped => "SKIPPED",
        Status::Unreachable => "UNREACHABLE!",
    };
    let paint = |text: &str| match step.status {
        Status::Ok | Status::Unknown => style.green(text),
        Status::Changed => style.yellow(text),
        Status::Skipped => style.cyan(text),
        Status::Failed | Status::Unreachable => style.red(text),
    };
    if step.no_log {
        return format!("{}\n", paint(&format!("{} | {word} (no_log: the result is hidden)", step.host)));
    }
    let values = &step.result.values;
    let command = matches!(step.action.rsplit('.').next(), Some("command" | "shell" | "raw" | "script"));
    if command && values.contains_key("rc") {
        let text = |key: &str| values.get(key).map(crate::resources::text_of).unwrap_or_default();
        let mut out = paint(&format!("{} | {word} | rc={} >>", step.host, text("rc")));
        out.push('\n');
        for key in ["stdout", "stderr"] {
            let stream = text(key);
            if !stream.is_empty() {
                out.push_str(stream.trim_end_matches('\n'));
                out.push('\n');
            }
        }
        return out;
    }
    let mut map = serde_json::Map::new();
    map.insert("changed".to_owned(), serde_json::json!(step.changed));
    for (key, value) in values {
        map.insert(key.clone(), value_json(value));
    }
    let body = serde_json::to_string_pretty(&map).unwrap_or_default();
    format!("{}\n", paint(&format!("{} | {word} => {body}", step.host)))
}

/// The same on one line.
pub fn adhoc_line(step: &Step, style: Style) -> String {
    let text = adhoc_text(step, style);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    format!("{}\n", lines.join(" "))
}

/// The result as JSON on one line.
pub fn adhoc_json(step: &Step) -> String {
    super::ansible::result_text(step)
}
