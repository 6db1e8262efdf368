//! `iptables` and `ufw`: firewall rules, compared by the tools' own checks.

use std::sync::Arc;

use minijinja::Value;
use minijinja::value::ValueKind;

use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `iptables`.
pub static IPTABLES: ResourceType = ResourceType {
    name: "iptables",
    qualified: &["ansible.builtin.iptables"],
    doc: include_str!("doc/iptables.md"),
    args: &[
        ArgSpec::new("table", Kind::Str, "The table")
            .default("filter")
            .choices(&["filter", "mangle", "nat", "raw", "security"]),
        ArgSpec::new("state", Kind::Str, "Whether the rule is there")
            .default("present")
            .choices(&["absent", "present"]),
        ArgSpec::new("action", Kind::Str, "Where a new rule goes").default("append").choices(&["append", "insert"]),
        ArgSpec::new("rule_num", Kind::Str, "Number to insert at"),
        ArgSpec::new("ip_version", Kind::Str, "Which protocol").default("ipv4").choices(&["ipv4", "ipv6"]),
        ArgSpec::new("chain", Kind::Str, "The chain"),
        ArgSpec::new("protocol", Kind::Str, "-p"),
        ArgSpec::new("source", Kind::Str, "-s"),
        ArgSpec::new("destination", Kind::Str, "-d"),
        ArgSpec::new("match", Kind::List, "-m, each"),
        ArgSpec::new("tcp_flags", Kind::Dict, "`flags` and `flags_set`, lists"),
        ArgSpec::new("jump", Kind::Str, "-j"),
        ArgSpec::new("gateway", Kind::Str, "--gateway"),
        ArgSpec::new("log_prefix", Kind::Str, "--log-prefix"),
        ArgSpec::new("log_level", Kind::Str, "--log-level"),
        ArgSpec::new("to_destination", Kind::Str, "--to-destination"),
        ArgSpec::new("destination_ports", Kind::List, "Several destination ports"),
        ArgSpec::new("to_source", Kind::Str, "--to-source"),
        ArgSpec::new("goto", Kind::Str, "-g"),
        ArgSpec::new("in_interface", Kind::Str, "-i"),
        ArgSpec::new("out_interface", Kind::Str, "-o"),
        ArgSpec::new("fragment", Kind::Str, "-f"),
        ArgSpec::new("set_counters", Kind::Str, "-c"),
        ArgSpec::new("source_port", Kind::Str, "--source-port"),
        ArgSpec::new("destination_port", Kind::Str, "--destination-port"),
        ArgSpec::new("to_ports", Kind::Str, "--to-ports"),
        ArgSpec::new("set_dscp_mark", Kind::Str, "--set-dscp"),
        ArgSpec::new("set_dscp_mark_class", Kind::Str, "--set-dscp-class"),
        ArgSpec::new("syn", Kind::Str, "Match or negate SYN").default("ignore").choices(&["ignore", "match", "negate"]),
        ArgSpec::new("ctstate", Kind::List, "Connection states"),
        ArgSpec::new("src_range", Kind::Str, "--src-range"),
        ArgSpec::new("dst_range", Kind::Str, "--dst-range"),
        ArgSpec::new("match_set", Kind::Str, "Name of an ipset"),
        ArgSpec::new("match_set_flags", Kind::Str, "Its flags")
            .choices(&["src", "dst", "src,dst", "dst,src", "src,src", "dst,dst"]),
        ArgSpec::new("limit", Kind::Str, "--limit"),
        ArgSpec::new("limit_burst", Kind::Str, "--limit-burst"),
        ArgSpec::new("uid_owner", Kind::Str, "--uid-owner"),
        ArgSpec::new("gid_owner", Kind::Str, "--gid-owner"),
        ArgSpec::new("reject_with", Kind::Str, "--reject-with"),
        ArgSpec::new("icmp_type", Kind::Str, "--icmp-type"),
        ArgSpec::new("comment", Kind::Str, "A comment"),
        ArgSpec::new("flush", Kind::Bool, "Remove all rules").default("false"),
        ArgSpec::new("policy", Kind::Str, "The chain's policy").choices(&["ACCEPT", "DROP", "QUEUE", "RETURN"]),
        ArgSpec::new("wait", Kind::Str, "Seconds to wait for the lock"),
        ArgSpec::new("chain_management", Kind::Bool, "Make and remove the chain itself").default("false"),
        ArgSpec::new("numeric", Kind::Bool, "Accepted, without effect").default("false"),
    ],
    free_form: None,
    build: build_iptables,
};

/// `ufw`.
pub static UFW: ResourceType = ResourceType {
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
        ArgSpec::new("interface_in", Kind::Str, "Not supported yet").aliases(&["if_in"]),
        ArgSpec::new("interface_out", Kind::Str, "Not supported yet").aliases(&["if_out"]),
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
        ArgSpec::new("insert_relative_to", Kind::Str, "Not supported yet").default("zero"),
        ArgSpec::new("comment", Kind::Str, "A comment"),
    ],
    free_form: None,
    build: build_ufw,
};

fn said(rc: i32, text: String) -> Answer {
    Answer::Output(Output { rc, stdout: text.into_bytes(), stderr: vec![] })
}

fn query(argv: &[String]) -> Query {
    Query::Read { argv: argv.to_vec() }
}

struct Iptables {
    tool: String,
    table: String,
    chain: String,
    rule: Vec<String>,
    present: bool,
    insert: Option<Option<String>>,
    flush: bool,
    policy: Option<String>,
    manage_chain: bool,
    wait: Vec<String>,
    task: Task,
}

fn build_iptables(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let (flush, policy) = (args.flag("flush")?, args.str("policy")?);
    let chain = match args.str("chain")? {
        Some(chain) => chain,
        None if flush => String::new(),
        None => {
            return Err(Problem::new("missing-argument", "`iptables` needs the argument `chain`")
                .at(args.task_span())
                .into());
        }
    };
    let mut rule: Vec<String> = vec![];
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            match value.strip_prefix('!') {
                Some(rest) => rule.extend(["!".to_owned(), flag.to_owned(), rest.trim().to_owned()]),
                None => rule.extend([flag.to_owned(), value]),
            }
        }
    };
    add("-p", args.str("protocol")?);
    add("-s", args.str("source")?);
    add("-d", args.str("destination")?);
    for name in args.list("match")? {
        add("-m", Some(name));
    }
    let flags = args.dict("tcp_flags")?;
    if !flags.is_empty() {
        let list = |key: &str| -> String {
            flags.get(key).map_or(String::new(), |v| match v.kind() {
                ValueKind::Seq => v.try_iter().into_iter().flatten().map(|i| text_of(&i)).collect::<Vec<_>>().join(","),
                _ => text_of(v),
            })
        };
        rule.extend(["--tcp-flags".to_owned(), list("flags"), list("flags_set")]);
    }
    let mut add = |flag: &str, value: Option<String>| {
        if let Some(value) = value.filter(|v| !v.is_empty()) {
            match value.strip_prefix('!') {
                Some(rest) => rule.extend(["!".to_owned(), flag.to_owned(), rest.trim().to_owned()]),
                None => rule.extend([flag.to_owned(), value]),
            }
        }
    };
    for (name, flag) in [
        ("jump", "-j"),
        ("gateway", "--gateway"),
        ("log_prefix", "--log-prefix"),
        ("log_level", "--log-level"),
        ("to_destination", "--to-destination"),
    ] {
        add(flag, args.str(name)?);
    }
    let ports = args.list("destination_ports")?;
    if !ports.is_empty() {
        add("-m", Some("multiport".to_owned()));
        add("--dports", Some(ports.join(",")));
    }
    for (name, flag) in [
        ("to_source", "--to-source"),
        ("goto", "-g"),
        ("in_interface", "-i"),
        ("out_interface", "-o"),
        ("fragment", "-f"),
        ("set_counters", "-c"),
        ("source_port", "--source-port"),
        ("destination_port", "--destination-port"),
        ("to_ports", "--to-ports"),
        ("set_dscp_mark", "--set-dscp"),
        ("set_dscp_mark_class", "--set-dscp-class"),
    ] {
        add(flag, args.str(name)?);
    }
    let matches = args.list("match")?;
    let states = args.list("ctstate")?;
    if !states.is_empty() {
        if !matches.iter().any(|m| m == "conntrack" || m == "state") {
            add("-m", Some("conntrack".to_owned()));
        }
        let flag = if matches.iter().any(|m| m == "state") { "--state" } else { "--ctstate" };
        add(flag, Some(states.join(",")));
    }
    let range = args.given("src_range") || args.given("dst_range");
    if range && !matches.iter().any(|m| m == "iprange") {
        add("-m", Some("iprange".to_owned()));
    }
    add("--src-range", args.str("src_range")?);
    add("--dst-range", args.str("dst_range")?);
    if let Some(limit) = args.str("limit")? {
        if !matches.iter().any(|m| m == "limit") {
            add("-m", Some("limit".to_owned()));
        }
        add("--limit", Some(limit));
    }
    add("--limit-burst", args.str("limit_burst")?);
    if (args.given("uid_owner") || args.given("gid_owner")) && !matches.iter().any(|m| m == "owner") {
        add("-m", Some("owner".to_owned()));
    }
    add("--uid-owner", args.str("uid_owner")?);
    add("--gid-owner", args.str("gid_owner")?);
    add("--reject-with", args.str("reject_with")?);
    add("--icmp-type", args.str("icmp_type")?);
    match args.need("syn")?.as_str() {
        "match" => rule.push("--syn".to_owned()),
        "negate" => rule.extend(["!".to_owned(), "--syn".to_owned()]),
        _ => {}
    }
    if let Some(set) = args.str("match_set")? {
        let flags = args.need("match_set_flags")?;
        rule.extend(["-m".to_owned(), "set".to_owned(), "--match-set".to_owned(), set, flags]);
    }
    if let Some(comment) = args.str("comment")? {
        rule.extend(["-m".to_owned(), "comment".to_owned(), "--comment".to_owned(), comment]);
    }
    if args.given("reject_with") && !args.given("jump") {
        rule.extend(["-j".to_owned(), "REJECT".to_owned()]);
    }
    let wait = args.str("wait")?.map(|w| vec!["-w".to_owned(), w]).unwrap_or_default();
    Ok(Arc::new(Iptables {
        tool: if args.need("ip_version")? == "ipv6" { "ip6tables" } else { "iptables" }.to_owned(),
        table: args.need("table")?,
        chain,
        rule,
        present: args.need("state")? == "present",
        insert: (args.need("action")? == "insert").then(|| args.str("rule_num")).transpose()?,
        flush,
        policy,
        manage_chain: args.flag("chain_management")?,
        wait,
        task: Task::of(setting),
    }))
}

impl Iptables {
    fn argv(&self, verb: &str, extra: &[String]) -> Vec<String> {
        let mut argv = vec![self.tool.clone(), "-t".to_owned(), self.table.clone()];
        argv.extend(self.wait.iter().cloned());
        argv.push(verb.to_owned());
        if !self.chain.is_empty() {
            argv.push(self.chain.clone());
        }
        argv.extend(extra.iter().cloned());
        argv
    }
}

impl Resource for Iptables {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let result = TaskResult::unchanged()
            .with("chain", self.chain.as_str())
            .with("table", self.table.as_str())
            .with("ip_version", if self.tool == "iptables" { "ipv4" } else { "ipv6" })
            .with("rule", self.rule.join(" "))
            .with("flush", self.flush)
            .with("state", if self.present { "present" } else { "absent" })
            .with("chain_management", self.manage_chain);
        let mut edit = Edit::default();
        let listing = self.argv("-S", &[]);
        let check = self.argv("-C", &self.rule);
        let by_list = self.flush || self.policy.is_some() || self.manage_chain;
        if by_list {
            world.want([query(&listing)]);
        }
        if !self.rule.is_empty() {
            world.want([query(&check)]);
        }
        let missing = |output: &Output| {
            (output.rc == 127)
                .then(|| Stop::Failed(format!("Failed to find required executable \"{}\" on the node", self.tool)))
        };
        if by_list {
            let output = world.read(listing.clone())?;
            if let Some(stop) = missing(&output) {
                return Err(stop);
            }
            let text = output.text();
            let rules = text.lines().filter(|l| l.starts_with("-A ")).count();
            let policy_line = |l: &&str| l.starts_with(&format!("-P {} ", self.chain));
            if self.flush {
                if rules > 0 {
                    edit.actions.push(self.task.exec(self.argv("-F", &[])));
                    let rest: String =
                        text.lines().filter(|l| !l.starts_with("-A ")).map(|l| format!("{l}\n")).collect();
                    edit.diff.push(kit::diff(&self.tool, text.clone(), rest.clone()));
                    edit.effect(query(&listing), said(0, rest));
                }
                return Ok(edit.verdict(result));
            }
            if let Some(policy) = &self.policy {
                let wanted = format!("-P {} {policy}", self.chain);
                let now = text.lines().find(policy_line).unwrap_or_default();
                if now != wanted {
                    edit.actions.push(self.task.exec(self.argv("-P", std::slice::from_ref(policy))));
                    let rest: String = text.lines().filter(|l| !policy_line(l)).map(|l| format!("{l}\n")).collect();
                    edit.diff.push(kit::diff(&self.tool, format!("{now}\n"), format!("{wanted}\n")));
                    edit.effect(query(&listing), said(0, format!("{wanted}\n{rest}")));
                }
                return Ok(edit.verdict(result));
            }
            if self.rule.is_empty() {
                let is = output.rc == 0;
                if is != self.present {
                    edit.actions.push(self.task.exec(self.argv(if self.present { "-N" } else { "-X" }, &[])));
                    let (after, rc) =
                        if self.present { (format!("-N {}\n", self.chain), 0) } else { (String::new(), 1) };
                    edit.diff.push(kit::diff(&self.tool, if is { text } else { String::new() }, after.clone()));
                    edit.effect(query(&listing), said(rc, after));
                }
                return Ok(edit.verdict(result));
            }
            if self.present && output.rc != 0 {
                edit.actions.push(self.task.exec(self.argv("-N", &[])));
                edit.effect(query(&listing), said(0, format!("-N {}\n", self.chain)));
            }
        }
        let output = world.read(check.clone())?;
        if let Some(stop) = missing(&output) {
            return Err(stop);
        }
        let is = output.rc == 0;
        if is != self.present {
            let (verb, number) = match (&self.insert, self.present) {
                (_, false) => ("-D", None),
                (Some(number), _) => ("-I", number.clone()),
                (None, _) => ("-A", None),
            };
            let words: Vec<String> = number.into_iter().chain(self.rule.iter().cloned()).collect();
            edit.actions.push(self.task.exec(self.argv(verb, &words)));
            let line = format!("-A {} {}\n", self.chain, self.rule.join(" "));
            let (before, after) = if self.present { (String::new(), line) } else { (line, String::new()) };
            edit.diff.push(kit::diff(&format!("{} -t {}", self.tool, self.table), before, after));
            edit.effect(query(&check), said(i32::from(!self.present), String::new()));
            edit.created = self.present;
            edit.removed = !self.present;
        }
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, &self.tool)
    }
}

fn concluded(change: &Change, done: &[Done], name: &str) -> Result<TaskResult, TaskResult> {
    match kit::failure(done) {
        None => Ok(change.result.clone()),
        Some((message, output)) => Err(super::group::failed_tool(name, message, output)),
    }
}

struct Ufw {
    state: Option<String>,
    policy: Option<(String, String)>,
    logging: Option<String>,
    rule: Option<Vec<String>>,
    task: Task,
}

fn build_ufw(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    for name in ["interface_in", "interface_out"] {
        if args.given(name) {
            return Err(Problem::unsupported(format!("`{name}` of `ufw`")).at(args.span(name)).into());
        }
    }
    if args.need("insert_relative_to")? != "zero" {
        return Err(Problem::unsupported("`insert_relative_to` of `ufw`").at(args.span("insert_relative_to")).into());
    }
    let direction = args.str("direction")?;
    let policy = args.str("default")?.map(|policy| {
        let direction = match direction.as_deref() {
            Some("out" | "outgoing") => "outgoing",
            Some("routed") => "routed",
            _ => "incoming",
        };
        (policy, direction.to_owned())
    });
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
            if let Some(number) = args.int("insert")? {
                push(&["insert", &number.to_string()]);
            }
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
    Ok(Arc::new(Ufw { state, policy, logging, rule, task: Task::of(setting) }))
}

const UFW_STATUS: [&str; 3] = ["ufw", "status", "verbose"];

impl Resource for Ufw {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let status = UFW_STATUS.map(str::to_owned).to_vec();
        let dry: Option<Vec<String>> = self
            .rule
            .as_ref()
            .map(|rule| ["ufw", "--dry-run"].into_iter().map(str::to_owned).chain(rule.iter().cloned()).collect());
        world.want([query(&status)]);
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
            let mut argv = vec!["ufw", "-f"];
            argv.extend(words);
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
        if let (Some(rule), Some(dry)) = (&self.rule, &dry) {
            let output = world.read(dry.clone())?;
            if output.rc != 0
                && !output.text().contains("non-existent")
                && !output.error_text().contains("non-existent")
            {
                return Ok(kit::failed(output.error_text().trim().to_owned()));
            }
            let said_all = format!("{}{}", output.text(), output.error_text());
            let same = said_all.contains("Skipping") || said_all.contains("non-existent");
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
}
