//! `ufw`: rules, policies and logging, compared by ufw's own dry run.

use std::sync::Arc;

use minijinja::Value;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Stop, View};

/// `ufw`.
pub static TYPE: ResourceType = ResourceType {
    name: "ufw",
    qualified: &["community.general.ufw"],
    doc: include_str!("doc/ufw.md"),
    args: &[
        ArgSpec::new("state", Kind::Str, "The firewall itself").choices(&["enabled", "disabled", "reloaded", "reset"]),
        ArgSpec::new("default", Kind::Str, "Policy of a direction")
            .aliases(&["policy"])
            .choices(&["allow", "deny", "reject"]),
        ArgSpec::new("direction", Kind::Str, "Which packets").choices(&["in", "incoming", "out", "outgoing", "routed"]),
        ArgSpec::new("logging", Kind::Str, "How much is logged")
            .choices(&["full", "high", "low", "medium", "off", "on"]),
        ArgSpec::new("rule", Kind::Str, "What to do").choices(&["allow", "deny", "limit", "reject"]),
        ArgSpec::new("route", Kind::Bool, "A rule for forwarded packets").default("false"),
        ArgSpec::new("log", Kind::Bool, "Log what the rule matches").default("false"),
        ArgSpec::new("interface", Kind::Str, "The interface").aliases(&["if"]),
        ArgSpec::new("interface_in", Kind::Str, "Interface packets come in by; with `route` beside `interface_out`")
            .aliases(&["if_in"]),
        ArgSpec::new("interface_out", Kind::Str, "Interface packets go out by").aliases(&["if_out"]),
        ArgSpec::new("from_ip", Kind::Str, "Source address").aliases(&["from", "src"]).default("any"),
        ArgSpec::new("from_port", Kind::Str, "Source port"),
        ArgSpec::new("to_ip", Kind::Str, "Destination address").aliases(&["dest", "to"]).default("any"),
        ArgSpec::new("to_port", Kind::Str, "Destination port").aliases(&["port"]),
        ArgSpec::new("proto", Kind::Str, "The protocol")
            .aliases(&["protocol"])
            .choices(&["any", "tcp", "udp", "ipv6", "esp", "ah", "gre", "igmp", "vrrp"]),
        ArgSpec::new("name", Kind::Str, "Name of an application profile").aliases(&["app"]),
        ArgSpec::new("delete", Kind::Bool, "Take the rule away").default("false"),
        ArgSpec::new("insert", Kind::Int, "Number to insert at"),
        ArgSpec::new(
            "insert_relative_to",
            Kind::Str,
            "What `insert` counts from: the first or last rule of a kind, which has the number 0",
        )
        .default("zero")
        .choices(&["first-ipv4", "first-ipv6", "last-ipv4", "last-ipv6", "zero"]),
        ArgSpec::new("comment", Kind::Str, "A comment"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Ufw {
    state: Option<String>,
    policy: Option<(String, String)>,
    logging: Option<String>,
    rule: Option<Vec<String>>,
    /// Where in the words of the rule `insert NUMBER` stands, the number, and what it counts from.
    place: Option<(usize, i64, String)>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in ["interface_in", "interface_out"] {
        for other in ["direction", "interface"] {
            kit::exclusive(&args, name, other)?;
        }
    }
    let relative = args.need("insert_relative_to")?;
    let direction = args.str("direction")?;
    let policy = args.str("default")?.map(|policy| {
        let direction = match direction.as_deref() {
            Some("out" | "outgoing") => "outgoing",
            Some("routed") => "routed",
            _ => "incoming",
        };
        (policy, direction.to_owned())
    });
    let mut place = None;
    let rule = match args.str("rule")? {
        None => None,
        Some(action) => {
            let mut words: Vec<String> = vec![];
            let mut push = |list: &[&str]| words.extend(list.iter().map(|w| (*w).to_owned()));
            if args.flag("route")? {
                push(&["route"]);
            }
            if args.flag("delete")? {
                push(&["delete"]);
            }
            // A rule that goes away has a number already.
            if !args.flag("delete")? {
                place = args.int("insert")?.map(|number| (words.len(), number, relative));
            }
            let mut push = |list: &[&str]| words.extend(list.iter().map(|w| (*w).to_owned()));
            push(&[&action]);
            if let Some(direction) = &direction {
                push(&[match direction.as_str() {
                    "out" | "outgoing" => "out",
                    _ => "in",
                }]);
            }
            if let Some(interface) = args.str("interface")? {
                push(&["on", &interface]);
            }
            for (name, way) in [("interface_in", "in"), ("interface_out", "out")] {
                if let Some(interface) = args.str(name)? {
                    push(&[way, "on", &interface]);
                }
            }
            if args.flag("log")? {
                push(&["log"]);
            }
            push(&["from", &args.need("from_ip")?]);
            if let Some(port) = args.str("from_port")? {
                push(&["port", &port]);
            }
            push(&["to", &args.need("to_ip")?]);
            if let Some(port) = args.str("to_port")? {
                push(&["port", &port]);
            }
            if let Some(proto) = args.str("proto")? {
                push(&["proto", &proto]);
            }
            if let Some(app) = args.str("name")? {
                push(&["app", &app]);
            }
            if let Some(comment) = args.str("comment")? {
                push(&["comment", &comment]);
            }
            Some(words)
        }
    };
    let state = args.str("state")?;
    let logging = args.str("logging")?;
    if state.is_none() && policy.is_none() && logging.is_none() && rule.is_none() {
        return Err(Problem::new("missing-argument", "`ufw` is asked for nothing")
            .at(args.task_span())
            .help("one of the following is required: state, default, rule, logging")
            .into());
    }
    Ok(Arc::new(Ufw { state, policy, logging, rule, place, task: Task::of(setting) }))
}

const STATUS: [&str; 3] = ["ufw", "status", "verbose"];

/// `ufw` and its words. With a rule behind it, `-f` is a syntax error; the others ask without it.
fn command<'a>(words: &[&'a str]) -> Vec<&'a str> {
    let asks = matches!(words.first(), Some(&("enable" | "disable" | "reload" | "reset" | "default" | "logging")));
    ["ufw"].into_iter().chain(asks.then_some("-f")).chain(words.iter().copied()).collect()
}

impl Ufw {
    /// The words of the rule, with the number it is inserted at.
    fn words(&self, world: &View) -> Result<Option<Vec<String>>, Stop> {
        let (Some(rule), Some((at, number, relative))) = (&self.rule, &self.place) else {
            return Ok(self.rule.clone());
        };
        let mut words = rule.clone();
        let number = if relative == "zero" {
            *number
        } else {
            let text = world.read(["ufw", "status", "numbered"].map(str::to_owned).to_vec())?.text();
            let rules: Vec<&str> = text.lines().filter(|l| l.trim_start().starts_with('[')).collect();
            let (all, six) = (rules.len() as i64, rules.iter().filter(|l| l.contains("(v6)")).count() as i64);
            let origin = match relative.as_str() {
                "first-ipv4" => 1,
                "last-ipv4" => all - six,
                "first-ipv6" => all - six + 1,
                _ => all,
            };
            let place = (origin + number).max(1);
            // Behind the last rule there is nothing to insert before: it is added.
            if place > all {
                return Ok(Some(words));
            }
            place
        };
        words.splice(*at..*at, ["insert".to_owned(), number.to_string()]);
        Ok(Some(words))
    }
}

impl Resource for Ufw {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let status = STATUS.map(str::to_owned).to_vec();
        world.want([query(&status)]);
        let rule = self.words(world)?;
        let dry: Option<Vec<String>> = rule
            .as_ref()
            .map(|rule| ["ufw", "--dry-run"].into_iter().map(str::to_owned).chain(rule.iter().cloned()).collect());
        world.want(dry.iter().map(|d| query(d)));
        let output = world.read(status.clone())?;
        if output.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"ufw\" on the node".to_owned()));
        }
        let text = output.text();
        let field = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        let mut after = text.clone();
        let mut edit = Edit::default();
        let mut commands: Vec<Value> = vec![];
        let mut run = |edit: &mut Edit, words: &[&str]| {
            let argv = command(words);
            commands.push(Value::from(argv.join(" ")));
            edit.actions.push(self.task.exec(argv));
        };
        let active = field("Status:") == "active";
        if let Some(level) = &self.logging {
            let now = field("Logging:");
            let same = match level.as_str() {
                "off" => now == "off",
                "on" => now.starts_with("on"),
                level => now == format!("on ({level})"),
            };
            // An inactive firewall does not show it.
            if !same && (active || !now.is_empty()) {
                run(&mut edit, &["logging", level]);
                let shown = match level.as_str() {
                    "off" => "off".to_owned(),
                    "on" => "on (low)".to_owned(),
                    level => format!("on ({level})"),
                };
                after = after.replace(&format!("Logging: {now}"), &format!("Logging: {shown}"));
            } else if !active {
                run(&mut edit, &["logging", level]);
            }
        }
        if let Some((policy, direction)) = &self.policy {
            let now = field("Default:");
            if !now.split(", ").any(|p| *p == format!("{policy} ({direction})")) {
                run(&mut edit, &["default", policy, direction]);
                let new = now
                    .split(", ")
                    .map(|p| {
                        if p.ends_with(&format!("({direction})")) {
                            format!("{policy} ({direction})")
                        } else {
                            p.to_owned()
                        }
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                after = after.replace(&format!("Default: {now}"), &format!("Default: {new}"));
            }
        }
        if let (Some(rule), Some(dry)) = (&rule, &dry) {
            let output = world.read(dry.clone())?;
            if output.rc != 0
                && !output.text().contains("non-existent")
                && !output.error_text().contains("non-existent")
            {
                return Ok(kit::failed(output.error_text().trim().to_owned()));
            }
            let said_all = format!("{}{}", output.text(), output.error_text());
            let same = said_all.contains("existing rule") || said_all.contains("non-existent");
            if !same {
                run(&mut edit, &rule.iter().map(String::as_str).collect::<Vec<_>>());
                edit.effect(query(dry), said(0, "Skipping adding existing rule\n".to_owned()));
                edit.diff.push(kit::diff("ufw", "", format!("{}\n", rule.join(" "))));
            }
        }
        match self.state.as_deref() {
            Some("enabled") if !active => {
                run(&mut edit, &["enable"]);
                after = after.replace("Status: inactive", "Status: active");
            }
            Some("disabled") if active => {
                run(&mut edit, &["disable"]);
                after = "Status: inactive\n".to_owned();
            }
            Some(verb @ ("reloaded" | "reset")) => {
                run(&mut edit, &[if verb == "reset" { "reset" } else { "reload" }]);
            }
            _ => {}
        }
        if after != text {
            edit.diff.push(kit::diff("ufw", text, after.clone()));
            edit.effect(query(&status), said(0, after));
        }
        let result = TaskResult::unchanged().with("commands", Value::from(commands)).with("msg", "");
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, "ufw")
    }

    /// Rules, policies and the state that there were.
    fn inverse(&self, view: &View, change: &Change) -> super::Inverse {
        let Ok(status) = view.read(STATUS) else { return super::Inverse::default() };
        let text = status.text();
        let field = |key: &str| text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default().trim().to_owned();
        let mut inverse = super::Inverse::default();
        let mut add = |what: String, words: Vec<String>| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            inverse.commands.push((what, command(&words).into_iter().map(str::to_owned).collect()));
        };
        let word = |text: &str| text.to_owned();
        let ran = |verb: &str| {
            change.actions.iter().any(|action| match action {
                crate::node::Action::Exec(spec) => match &spec.command {
                    crate::node::Command::Argv(argv) => {
                        argv[1..].iter().find(|w| *w != "-f").is_some_and(|v| v == verb)
                    }
                    crate::node::Command::Shell { .. } => false,
                },
                _ => false,
            })
        };
        if let Some((_, direction)) = &self.policy
            && let Some(was) = field("Default:").split(", ").find(|p| p.ends_with(&format!("({direction})")))
            && let Some(policy) = was.split(' ').next().filter(|_| ran("default"))
        {
            add(format!("ufw default {policy} {direction}"), vec![word("default"), word(policy), word(direction)]);
        }
        if let Some(rule) = self.rule.as_ref().filter(|rule| rule.first().is_some_and(|first| ran(first))) {
            // `rule delete allow …`, `rule insert 1 allow …`, `rule allow …`: without the first words it is the rule itself.
            let mut words: Vec<String> = rule.iter().skip_while(|w| *w == "rule" || *w == "route").cloned().collect();
            let route = rule.first().filter(|w| *w == "route").cloned();
            let deletes = words.first().is_some_and(|w| w == "delete");
            if deletes {
                words.remove(0);
            } else if words.first().is_some_and(|w| w == "insert") {
                words.drain(..2);
            }
            let shown = words.join(" ");
            if let Some(at) = words.iter().position(|w| w == "comment") {
                words.truncate(at);
            }
            let delete = if deletes { vec![] } else { vec![word("delete")] };
            add(format!("ufw {shown}"), route.into_iter().chain(delete).chain(words).collect());
        }
        let active = field("Status:") == "active";
        match self.state.as_deref() {
            Some("enabled") if !active => add(word("ufw enabled"), vec![word("disable")]),
            Some("disabled") if active => add(word("ufw disabled"), vec![word("enable")]),
            Some("reset") => {
                return super::Inverse::impossible("a firewall that was reset has lost its rules");
            }
            _ => {}
        }
        inverse
    }
}
