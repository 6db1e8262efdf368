//! `firewalld`: zones and rules of firewalld. The manual is doc/firewalld.md.

use std::sync::Arc;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict, text_of};
use crate::node::{Action, Command, Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "firewalld",
    qualified: &["ansible.posix.firewalld"],
    doc: include_str!("doc/firewalld.md"),
    args: &[
        ArgSpec::new("state", Kind::Str, "Whether it holds; for a zone (and nothing else) `present` or `absent`")
            .required()
            .choices(&["absent", "disabled", "enabled", "present"]),
        ArgSpec::new("zone", Kind::Str, "The zone; the default one if not given"),
        ArgSpec::new("service", Kind::Str, "A service to let in"),
        ArgSpec::new("port", Kind::Str, "A port or range with its protocol: `6443/tcp`, `30000-32767/tcp`"),
        ArgSpec::new("protocol", Kind::Str, "A protocol to let in"),
        ArgSpec::new("rich_rule", Kind::Str, "A rule in firewalld's language"),
        ArgSpec::new("source", Kind::Str, "A source (address, network, MAC or ipset) that belongs to the zone"),
        ArgSpec::new("interface", Kind::Str, "An interface that belongs to the zone"),
        ArgSpec::new("icmp_block", Kind::Str, "A kind of ICMP to refuse"),
        ArgSpec::new("icmp_block_inversion", Kind::Bool, "Refuse all ICMP but the kinds named"),
        ArgSpec::new("masquerade", Kind::Bool, "Masquerade"),
        ArgSpec::new("forward", Kind::Bool, "Forward within the zone"),
        ArgSpec::new("port_forward", Kind::List, "One mapping of `port`, `proto`, `toport`, `toaddr`"),
        ArgSpec::new("target", Kind::Str, "What becomes of other packets; needs `permanent`").choices(&[
            "%%REJECT%%",
            "ACCEPT",
            "DROP",
            "default",
        ]),
        ArgSpec::new("permanent", Kind::Bool, "In the settings that a reload or boot reads").default("false"),
        ArgSpec::new("immediate", Kind::Bool, "In the running firewall, besides `permanent`").default("false"),
        ArgSpec::new("timeout", Kind::Int, "Seconds the rule holds in the running firewall; 0: for good").default("0"),
        ArgSpec::new("offline", Kind::Bool, "Allow work on the settings while firewalld does not run").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

enum What {
    /// `--query-WORD`, `--add-WORD`, `--remove-WORD`, with a value.
    Item {
        word: &'static str,
        value: String,
    },
    /// The same without a value (masquerade, forward, icmp-block-inversion).
    Switch {
        word: &'static str,
    },
    Target(String),
    Zone,
}

struct Firewalld {
    what: What,
    enabled: bool,
    zone: Option<String>,
    permanent: bool,
    immediate: bool,
    timeout: i64,
    offline: bool,
    task: Task,
}

const ITEMS: &[(&str, &str)] = &[
    ("service", "service"),
    ("port", "port"),
    ("protocol", "protocol"),
    ("rich_rule", "rich-rule"),
    ("source", "source"),
    ("interface", "interface"),
    ("icmp_block", "icmp-block"),
];

const SWITCHES: &[(&str, &str)] =
    &[("masquerade", "masquerade"), ("forward", "forward"), ("icmp_block_inversion", "icmp-block-inversion")];

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let invalid = |what: String, name: &str| Problem::new("invalid-argument", what).at(args.span(name));
    let state = args.need("state")?;
    let mut enabled = matches!(state.as_str(), "enabled" | "present");
    let mut found: Vec<(&str, What)> = vec![];
    for (name, word) in ITEMS {
        if let Some(value) = args.str(name)? {
            if *name == "port" && !value.contains('/') {
                return Err(invalid(format!("`{value}` is no port with its protocol"), "port")
                    .help("write `6443/tcp`")
                    .into());
            }
            found.push((name, What::Item { word, value }));
        }
    }
    for (name, word) in SWITCHES {
        if let Some(on) = args.bool(name)? {
            // `masquerade: no` with `state: enabled` means: no masquerading; with `disabled` it is the same.
            enabled = enabled && on;
            found.push((name, What::Switch { word }));
        }
    }
    let forwards = args.items("port_forward")?;
    if forwards.len() > 1 {
        return Err(invalid("only one port forward at a time".to_owned(), "port_forward").into());
    }
    if let Some(forward) = forwards.first() {
        let field =
            |name: &str| forward.get_attr(name).ok().filter(|v| !v.is_undefined() && !v.is_none()).map(|v| text_of(&v));
        let (Some(port), Some(proto), Some(toport)) = (field("port"), field("proto"), field("toport")) else {
            return Err(invalid("`port_forward` needs `port`, `proto` and `toport`".to_owned(), "port_forward").into());
        };
        let mut value = format!("port={port}:proto={proto}:toport={toport}");
        if let Some(to) = field("toaddr") {
            value.push_str(&format!(":toaddr={to}"));
        }
        found.push(("port_forward", What::Item { word: "forward-port", value }));
    }
    if let Some(target) = args.str("target")? {
        found.push(("target", What::Target(target)));
    }
    let mut found = found.into_iter();
    let what = match (found.next(), found.next()) {
        (Some((a, _)), Some((b, _))) => {
            return Err(invalid(format!("can only operate on one of `{a}` and `{b}` at once"), b).into());
        }
        (Some((_, what)), None) => what,
        (None, _) => {
            if args.raw("zone").is_none() {
                return Err(invalid("`firewalld` is asked for nothing".to_owned(), "state").into());
            }
            if matches!(state.as_str(), "enabled" | "disabled") {
                return Err(invalid("a zone is `present` or `absent`".to_owned(), "state").into());
            }
            What::Zone
        }
    };
    if matches!(what, What::Item { .. } | What::Switch { .. }) && matches!(state.as_str(), "present" | "absent") {
        return Err(invalid(format!("`state: {state}` is for zones and targets"), "state")
            .help("write `enabled` or `disabled`")
            .into());
    }
    let (mut permanent, immediate) = (args.flag("permanent")?, args.flag("immediate")?);
    let timeout = args.int("timeout")?.unwrap_or(0);
    if matches!(what, What::Zone | What::Target(_)) && !permanent {
        return Err(invalid("a zone and its target are permanent settings".to_owned(), "permanent")
            .help("write `permanent: true`")
            .into());
    }
    let interface = matches!(what, What::Item { word: "interface", .. });
    if interface && args.raw("permanent").is_none() {
        permanent = false;
    }
    if timeout > 0 && permanent && !immediate {
        return Err(invalid("`timeout` is for the running firewall".to_owned(), "timeout").into());
    }
    Ok(Arc::new(Firewalld {
        what,
        enabled,
        zone: args.str("zone")?,
        permanent,
        immediate: immediate || !permanent,
        timeout,
        offline: args.flag("offline")?,
        task: Task::of(setting),
    }))
}

impl Firewalld {
    /// `firewall-cmd`, or `firewall-offline-cmd` where firewalld does not run.
    fn argv(&self, offline: bool, permanent: bool, words: &[String]) -> Vec<String> {
        let mut argv = vec![if offline { "firewall-offline-cmd" } else { "firewall-cmd" }.to_owned()];
        if permanent && !offline {
            argv.push("--permanent".to_owned());
        }
        argv.extend(words.iter().cloned());
        argv
    }

    fn in_zone(&self, words: String) -> Vec<String> {
        self.zone.iter().map(|z| format!("--zone={z}")).chain([words]).collect()
    }
}

impl Resource for Firewalld {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let state = ["firewall-cmd", "--state"].map(str::to_owned).to_vec();
        world.want([query(&state)]);
        let output = world.read(state)?;
        if output.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"firewall-cmd\" on the node".to_owned()));
        }
        let offline = output.rc != 0;
        if offline && !self.offline && self.immediate {
            return Ok(kit::failed(
                "firewall is not currently running, unable to perform immediate actions without a running firewall daemon",
            ));
        }
        let mut edit = Edit::default();
        let verb = |on: bool| if on { "add" } else { "remove" };
        let mut messages: Vec<String> = vec![];
        let (title, on) = (self.zone.clone().unwrap_or_else(|| "default zone".to_owned()), self.enabled);
        match &self.what {
            What::Zone => {
                let zone = self.zone.clone().unwrap_or_default();
                let list = self.argv(offline, true, &["--get-zones".to_owned()]);
                let text = world.read(list.clone())?.text();
                let mut zones: Vec<&str> = text.split_whitespace().collect();
                if zones.contains(&zone.as_str()) != on {
                    let word = if on { format!("--new-zone={zone}") } else { format!("--delete-zone={zone}") };
                    edit.actions.push(self.task.exec(self.argv(offline, true, &[word])));
                    if on {
                        zones.push(&zone)
                    } else {
                        zones.retain(|z| *z != zone)
                    }
                    edit.effect(query(&list), said(0, zones.join(" ") + "\n"));
                    messages.push(format!("{} zone {zone}", if on { "Added" } else { "Removed" }));
                }
            }
            What::Target(target) => {
                let get = self.argv(offline, true, &self.in_zone("--get-target".to_owned()));
                let now = world.read(get.clone())?.text().trim().to_owned();
                let wanted = if on { target.clone() } else { "default".to_owned() };
                if now != wanted && (on || now == *target) {
                    let set = self.in_zone(format!("--set-target={wanted}"));
                    edit.actions.push(self.task.exec(self.argv(offline, true, &set)));
                    edit.effect(query(&get), said(0, format!("{wanted}\n")));
                    messages.push(format!("Set zone {title} target to {wanted}"));
                }
            }
            What::Item { .. } | What::Switch { .. } => {
                let (word, value) = match &self.what {
                    What::Item { word, value } => (*word, format!("={value}")),
                    What::Switch { word } => (*word, String::new()),
                    _ => unreachable!("zones and targets are above"),
                };
                let mut places = vec![];
                if self.permanent || offline {
                    places.push(true);
                }
                if self.immediate && !offline {
                    places.push(false);
                }
                let asks: Vec<Vec<String>> = places
                    .iter()
                    .map(|p| self.argv(offline, *p, &self.in_zone(format!("--query-{word}{value}"))))
                    .collect();
                world.want(asks.iter().map(|a| query(a)));
                for (permanent, ask) in places.into_iter().zip(asks) {
                    let output = world.read(ask.clone())?;
                    // 1: no. Anything above is an error: a zone or service that is not there …
                    if output.rc > 1 {
                        return Ok(kit::failed(format!("ERROR: Exception caught: {}", output.error_text().trim())));
                    }
                    if (output.rc == 0) == on {
                        continue;
                    }
                    // An interface moves from its zone.
                    let moves = word == "interface" && on && !offline;
                    let verb = if moves { "change" } else { verb(on) };
                    let mut words = self.in_zone(format!("--{verb}-{word}{value}"));
                    if self.timeout > 0 && !permanent && on {
                        words.push(format!("--timeout={}", self.timeout));
                    }
                    edit.actions.push(self.task.exec(self.argv(offline, permanent, &words)));
                    edit.effect(query(&ask), said(i32::from(!on), if on { "yes\n" } else { "no\n" }.to_owned()));
                    messages.push(format!("{} operation", if permanent { "Permanent" } else { "Non-permanent" }));
                }
                if !edit.is_empty() {
                    let shown = format!("{word}{value}\n");
                    let (before, after) = if on { (String::new(), shown) } else { (shown, String::new()) };
                    edit.diff.push(kit::diff(&title, before, after));
                    messages.push(format!(
                        "Changed {} to {}",
                        format!("{word} {}", value.trim_start_matches('=')).trim(),
                        if on { "enabled" } else { "disabled" }
                    ));
                }
            }
        }
        if edit.diff.is_empty() && !edit.is_empty() {
            edit.diff.push(kit::diff(&title, "", format!("{}\n", messages.join(", "))));
        }
        Ok(edit.verdict(TaskResult::unchanged().with("msg", messages.join(", "))))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, "firewalld")
    }

    fn inverse(&self, world: &View, change: &Change) -> super::Inverse {
        let mut inverse = super::Inverse::default();
        for action in &change.actions {
            let Action::Exec(ExecSpec { command: Command::Argv(argv), .. }) = action else { continue };
            let told = argv.iter().find_map(|word| {
                let target = |_| format!("--set-target={}", self.target_before(world));
                [("--add-", "--remove-"), ("--remove-", "--add-"), ("--new-", "--delete-")]
                    .iter()
                    .find_map(|(done, undone)| Some((word, format!("{undone}{}", word.strip_prefix(done)?))))
                    .or_else(|| Some((word, word.strip_prefix("--set-target=").map(target)?)))
            });
            match told {
                Some((word, back)) => {
                    let back = argv
                        .iter()
                        .filter(|w| !w.starts_with("--timeout="))
                        .map(|w| if w == word { back.clone() } else { w.clone() });
                    let permanent = if argv.iter().any(|w| w == "--permanent") { " (permanent)" } else { "" };
                    let zone = self.zone.as_deref().map(|z| format!(" {z}")).unwrap_or_default();
                    inverse
                        .commands
                        .push((format!("firewalld{zone} {}{permanent}", word.trim_start_matches('-')), back.collect()));
                }
                None => {
                    return super::Inverse::impossible("what held it before, or a deleted zone's rules, is not known");
                }
            }
        }
        inverse
    }
}

impl Firewalld {
    /// The zone's target as it is observed.
    fn target_before(&self, world: &View) -> String {
        [false, true]
            .into_iter()
            .find_map(|offline| world.read(self.argv(offline, true, &self.in_zone("--get-target".to_owned()))).ok())
            .map_or_else(|| "default".to_owned(), |output| output.text().trim().to_owned())
    }
}
