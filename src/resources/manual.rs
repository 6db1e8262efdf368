//! A resource's manual as text: its doc, and its arguments from the same table that checks them.

use super::ResourceType;
use super::args::{ANY, ArgSpec, Kind};
use super::registry;

/// The manual of a type, in Markdown.
pub fn manual(kind: &ResourceType) -> String {
    let mut out = format!("# {}\n\n", kind.name);
    if !kind.qualified.is_empty() {
        out.push_str(&format!(
            "Also as {}.\n\n",
            kind.qualified.iter().map(|q| format!("`{q}`")).collect::<Vec<_>>().join(", ")
        ));
    }
    let doc = kind.doc.trim();
    // A doc that opens with its own title keeps it out of here.
    let doc = doc.strip_prefix(&format!("# {}", kind.name)).unwrap_or(doc).trim();
    let (synopsis, rest) = doc.split_once("\n## ").map_or((doc, None), |(a, b)| (a, Some(b)));
    out.push_str(synopsis.trim());
    out.push_str("\n\n## Arguments\n\n");
    if kind.args.is_empty() {
        out.push_str("None.\n");
    }
    for spec in kind.args {
        out.push_str(&argument(spec));
    }
    if let Some(rest) = rest {
        out.push_str(&format!("\n## {}\n", rest.trim()));
    }
    out
}

fn argument(spec: &ArgSpec) -> String {
    if spec.name == ANY {
        return format!("- any other name: {}\n", spec.doc);
    }
    let mut facts = vec![kind_name(spec.kind).to_owned()];
    if spec.required {
        facts.push("required".to_owned());
    }
    if !spec.default.is_empty() {
        facts.push(format!("default `{}`", spec.default));
    }
    if !spec.choices.is_empty() {
        facts.push(format!("one of {}", spec.choices.iter().map(|c| format!("`{c}`")).collect::<Vec<_>>().join(", ")));
    }
    if !spec.aliases.is_empty() {
        facts.push(format!("also {}", spec.aliases.iter().map(|a| format!("`{a}`")).collect::<Vec<_>>().join(", ")));
    }
    format!("- `{}` ({}): {}\n", spec.name, facts.join("; "), spec.doc)
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Str => "text",
        Kind::Bool => "boolean",
        Kind::Int => "whole number",
        Kind::Float => "number",
        Kind::List => "list",
        Kind::Dict => "mapping",
        Kind::Path => "path",
        Kind::Raw => "any value",
        Kind::Mode => "file mode",
        Kind::Condition => "condition or list of conditions",
    }
}

/// All manuals, by name.
pub fn all_manuals() -> impl Iterator<Item = (&'static str, String)> {
    registry::all().map(|kind| (kind.name, manual(kind)))
}
