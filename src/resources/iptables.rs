//! `iptables`: rules, policies and chains of iptables and ip6tables, compared by the tools' own check.

use std::sync::Arc;

use minijinja::value::ValueKind;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::Done;
use crate::problem::Problem;
use crate::world::{Output, Stop, View};

/// `iptables`.
pub static TYPE: ResourceType = ResourceType {
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
        ArgSpec::new("ip_version", Kind::Str, "Which protocol").default("ipv4").choices(&["both", "ipv4", "ipv6"]),
        ArgSpec::new("chain", Kind::Str, "The chain"),
        ArgSpec::new("protocol", Kind::Str, "-p"),
        ArgSpec::new("source", Kind::Str, "-s"),
        ArgSpec::new("destination", Kind::Str, "-d"),
        ArgSpec::new("match", Kind::List, "-m, each"),
        ArgSpec::new("tcp_flags", Kind::Dict, "`flags` and `flags_set`, lists"),
        ArgSpec::new("jump", Kind::Str, "-j"),
        ArgSpec::new("gateway", Kind::Str, "--gateway"),
        ArgSpec::new("log_prefix", Kind::Str, "--log-prefix"),
        ArgSpec::new("log_level", Kind::Str, "--log-level").choices(&[
            "0", "1", "2", "3", "4", "5", "6", "7", "alert", "crit", "debug", "emerg", "error", "info", "notice",
            "warning",
        ]),
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
    conduct: Conduct::Declares,
    build,
};

#[derive(Clone)]
struct Iptables {
    tool: String,
    table: String,
    chain: String,
    rule: Vec<String>,
    present: bool,
    insert: Option<Option<String>>,
    flush: bool,
    policy: Option<String>,
    /// Seconds to wait for the lock, as written.
    waits: Option<String>,
    manage_chain: bool,
    wait: Vec<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
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
    let waits = args.str("wait")?;
    let wait = waits.clone().map(|w| vec!["-w".to_owned(), w]).unwrap_or_default();
    let version = args.need("ip_version")?;
    let one = Iptables {
        tool: if version == "ipv6" { "ip6tables" } else { "iptables" }.to_owned(),
        table: args.need("table")?,
        chain,
        rule,
        present: args.need("state")? == "present",
        insert: (args.need("action")? == "insert").then(|| args.str("rule_num")).transpose()?,
        flush,
        policy,
        manage_chain: args.flag("chain_management")?,
        waits,
        wait,
        task: Task::of(setting),
    };
    if version == "both" {
        let other = Iptables { tool: "ip6tables".to_owned(), ..one.clone() };
        return Ok(Arc::new(Both(one, other)));
    }
    Ok(Arc::new(one))
}

/// `ip_version: both`: one rule in each.
struct Both(Iptables, Iptables);

impl Resource for Both {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        // Both are asked before either is waited for.
        let (four, six) = (self.0.reconcile(world), self.1.reconcile(world));
        let named = |result: TaskResult| result.with("ip_version", "both");
        Ok(match (four?, six?) {
            (Verdict::Change(mut four), Verdict::Change(six)) => {
                four.diff.extend(six.diff);
                four.actions.extend(six.actions);
                four.effects.extend(six.effects);
                four.result = named(four.result);
                Verdict::Change(four)
            }
            (Verdict::Change(mut one), Verdict::Unchanged(_)) | (Verdict::Unchanged(_), Verdict::Change(mut one)) => {
                one.result = named(one.result);
                Verdict::Change(one)
            }
            (Verdict::Unchanged(result), Verdict::Unchanged(_)) => Verdict::Unchanged(named(result)),
            (other, Verdict::Change(_) | Verdict::Unchanged(_)) | (_, other) => other,
        })
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, "iptables")
    }

    fn inverse(&self, view: &View, change: &Change) -> super::Inverse {
        let mut all = self.0.inverse(view, change);
        let second = self.1.inverse(view, change);
        all.commands.extend(second.commands);
        all.because = all.because.or(second.because);
        all
    }
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
            .with("chain_management", self.manage_chain)
            .with("wait", self.waits.as_deref().map_or(minijinja::Value::from(()), minijinja::Value::from));
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

    /// The rule, policy or chain as it was.
    fn inverse(&self, view: &View, _change: &Change) -> super::Inverse {
        if self.flush {
            return super::Inverse::impossible("a chain that was flushed has lost its rules");
        }
        if let Some(policy) = &self.policy {
            let listing = view.read(self.argv("-S", &[])).map(|o| o.text()).unwrap_or_default();
            let start = format!("-P {} ", self.chain);
            let was = listing.lines().find_map(|l| l.strip_prefix(&start)).map(str::to_owned);
            return match was.filter(|was| was != policy) {
                Some(was) => super::Inverse::command(
                    format!("{} policy {policy}", self.chain),
                    self.argv("-P", std::slice::from_ref(&was)),
                ),
                None => super::Inverse::default(),
            };
        }
        if self.rule.is_empty() {
            let verb = if self.present { "-X" } else { "-N" };
            return super::Inverse::command(format!("chain {}", self.chain), self.argv(verb, &[]));
        }
        let verb = if self.present { "-D" } else { "-A" };
        super::Inverse::command(format!("{} {}", self.chain, self.rule.join(" ")), self.argv(verb, &self.rule))
    }
}
