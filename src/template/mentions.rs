//! What nodes mention, without evaluating anything: variables for the plan's edges, and for `check` what no run is needed to find
//! wrong (syntax, names of filters, tests and lookups).

use std::collections::BTreeSet;

use super::engine::{syntax_problem, yaml_options};
use super::eval::is_function;
use super::place::Origin;
use super::syntax::{LexOptions, Survey, Use, parse_expression, parse_template};
use super::{call, filters, lookups, tests};
use crate::problem::Problem;
use crate::source::{SourceFile, Span};
use crate::yaml::{Node, Yaml};

/// A use of a variable.
#[derive(Debug, Clone)]
pub struct Mention {
    pub name: String,
    pub span: Option<Span>,
    /// It may be undefined: `x | default(…)`, or the same text asks `x is defined`.
    pub guarded: bool,
}

/// What was found in templates.
#[derive(Debug, Default)]
pub struct Findings {
    pub mentions: Vec<Mention>,
    pub problems: Vec<Problem>,
}

pub fn in_templates(node: &Node) -> Vec<String> {
    names(look(node))
}

pub fn in_conditions(nodes: &[Node]) -> Vec<String> {
    let mut all = Findings::default();
    for node in nodes {
        let found = look_at_condition(node);
        all.mentions.extend(found.mentions);
    }
    names(all)
}

fn names(findings: Findings) -> Vec<String> {
    let names: BTreeSet<String> = findings.mentions.into_iter().map(|m| m.name).collect();
    names.into_iter().collect()
}

/// Every template in a node, deep.
pub fn look(node: &Node) -> Findings {
    let mut findings = Findings::default();
    walk(node, &mut findings);
    findings
}

/// A condition: a bare expression, or a template in braces.
pub fn look_at_condition(node: &Node) -> Findings {
    let mut findings = Findings::default();
    let Some(text) = node.as_str() else { return findings };
    let trimmed = text.trim();
    if trimmed.starts_with("{{") || trimmed.starts_with("{%") {
        walk(node, &mut findings);
        return findings;
    }
    expression(text, &Origin::Node(node.clone()), &mut findings);
    findings
}

/// A bare expression (`debug: var=…`).
pub fn look_at_expression(text: &str, span: &Span) -> Findings {
    let mut findings = Findings::default();
    expression(text, &Origin::Node(Node::text(text, span)), &mut findings);
    findings
}

/// A template file's text, read with Ansible's defaults. A file with a `#jinja2:` line is read with these too, but for its first line.
pub fn look_at_file(path: impl Into<std::path::PathBuf>, text: &str) -> Findings {
    let mut findings = Findings::default();
    let file = SourceFile::new(path, text);
    let mut options = LexOptions { trim_blocks: true, escapes: true, ..LexOptions::default() };
    let base = match super::files::read_header(text, &mut options) {
        Ok(base) => base,
        Err(problem) => {
            findings.problems.push(problem.or_at(&Span::of_file(&file)));
            return findings;
        }
    };
    let origin = Origin::File(file, base);
    match parse_template(&text[base..], &options) {
        Ok(template) => note(Survey::of_body(&template.body), &origin, &mut findings),
        Err(error) => findings.problems.push(syntax_problem(error, &origin).into_problem()),
    }
    findings
}

fn expression(text: &str, origin: &Origin, findings: &mut Findings) {
    match parse_expression(text, &yaml_options()) {
        Ok(expr) => note(Survey::of_expr(&expr), origin, findings),
        Err(error) => findings.problems.push(syntax_problem(error, origin).into_problem()),
    }
}

fn walk(node: &Node, findings: &mut Findings) {
    match &node.value {
        Yaml::Str(s) if node.has_template() => {
            let origin = Origin::Node(node.clone());
            match parse_template(&s.text, &yaml_options()) {
                Ok(template) => note(Survey::of_body(&template.body), &origin, findings),
                Err(error) => findings.problems.push(syntax_problem(error, &origin).into_problem()),
            }
        }
        Yaml::Seq(items) => items.iter().for_each(|i| walk(i, findings)),
        Yaml::Map(map) => {
            for (key, value) in map.iter() {
                walk(key, findings);
                walk(value, findings);
            }
        }
        _ => {}
    }
}

fn note(survey: Survey, origin: &Origin, findings: &mut Findings) {
    let place = |u: &Use| origin.span(u.start as usize, u.end as usize);
    let guarded: BTreeSet<&str> = survey.uses.iter().filter(|u| u.guarded).map(|u| &*u.name).collect();
    for u in &survey.uses {
        if !is_function(&u.name) && !matches!(&*u.name, "omit" | "vars" | "self" | "super") {
            let guarded = guarded.contains(&*u.name);
            findings.mentions.push(Mention { name: u.name.to_string(), span: place(u), guarded });
        }
    }
    let mut unknown =
        |uses: &[Use], kind: &str, code: &'static str, known: &mut dyn FnMut(&str) -> bool, names: &[&str]| {
            for u in uses {
                // A collection of the repository's own may say where its names lead.
                let own = u.name.matches('.').count() >= 2
                    && !["ansible.", "community.", "kubernetes."].iter().any(|known| u.name.starts_with(known));
                if own {
                    continue;
                }
                let short = call::short_name(&u.name);
                if !known(short) {
                    let problem = Problem::new(code, format!("there is no {kind} `{}`", u.name))
                        .nearest(short, names.iter().copied());
                    findings.problems.push(match place(u) {
                        Some(span) => problem.at(&span),
                        None => problem,
                    });
                }
            }
        };
    let filter_names: Vec<&str> = filters::filter_names().collect();
    let test_names: Vec<&str> = tests::test_names().collect();
    let lookup_names: Vec<&str> = lookups::lookup_names().collect();
    unknown(
        &survey.filters,
        "filter",
        "unknown-filter",
        &mut |n| filter_names.contains(&n) || own_filter(n),
        &filter_names,
    );
    unknown(&survey.tests, "test", "unknown-test", &mut |n| test_names.contains(&n) || n == "callable", &test_names);
    unknown(
        &survey.lookups,
        "lookup",
        "unknown-lookup",
        &mut |n| lookups::find(n).is_some() || n == "vars",
        &lookup_names,
    );
}

fn own_filter(name: &str) -> bool {
    matches!(name, "default" | "d" | "mandatory" | "ternary")
}
