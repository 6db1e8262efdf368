//! Who may have changed what has drifted, as far as a node tells cheaply: its package log and its logins, in one round trip.

use std::collections::HashMap;

use crate::node::{Conversation, Identity};
use crate::world::{Answer, Output, Query};

/// What a node tells of its recent past.
#[derive(Debug, Default)]
pub struct Trace {
    /// Which package a path belongs to.
    owners: HashMap<String, String>,
    /// Package, when, and what was done with it; newest last.
    packages: Vec<(String, i64, String)>,
    /// From, to (none: still there), who.
    logins: Vec<(i64, Option<i64>, String)>,
    /// When a run of kdeploy wrote a path, and which, by the node's ledger: newest last.
    pub runs: Vec<(String, i64, String)>,
}

/// A file that was written within so many seconds after a run's or a login's moment counts as theirs.
const NEAR: i64 = 60;

impl Trace {
    /// Asks a node about some paths. What it does not tell is left out.
    pub fn of(conversation: &mut dyn Conversation, paths: &[String]) -> Self {
        let read = |argv: &[&str]| Query::Read { argv: argv.iter().map(|w| (*w).to_owned()).collect() };
        let owners: Vec<&str> = ["dpkg", "-S"].into_iter().chain(paths.iter().map(String::as_str)).collect();
        let queries = [
            read(&["date", "+%z"]),
            read(&["tail", "-n", "4000", "/var/log/dpkg.log"]),
            read(&["last", "-w", "-n", "200", "--time-format", "iso"]),
            read(&owners),
        ];
        let Ok(answers) = conversation.ask(&Identity::default(), &queries) else { return Self::default() };
        let text = |index: usize| match answers.get(index) {
            Some(Answer::Output(Output { stdout, .. })) => String::from_utf8_lossy(stdout).into_owned(),
            _ => String::new(),
        };
        Self::read(text(0).trim(), &text(1), &text(2), &text(3))
    }

    fn read(zone: &str, dpkg: &str, last: &str, owners: &str) -> Self {
        let mut trace = Self::default();
        for line in dpkg.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [day, time, verb @ ("install" | "upgrade" | "remove" | "purge"), package, old, new] = words[..] else {
                continue;
            };
            let Some(when) = moment(&format!("{day}T{time}{zone}")) else { continue };
            let name = package.split(':').next().unwrap_or(package).to_owned();
            let did = match verb {
                "install" => format!("installed ({new})"),
                "upgrade" => format!("upgraded from {old} to {new}"),
                verb => format!("{verb}d"),
            };
            trace.packages.push((name, when, did));
        }
        for line in last.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let times: Vec<i64> = words.iter().filter_map(|w| moment(w)).collect();
            let (Some(user), Some(from)) = (words.first(), times.first()) else { continue };
            if matches!(*user, "reboot" | "shutdown" | "runlevel" | "wtmp") {
                continue;
            }
            let place = words.get(2).filter(|w| moment(w).is_none() && !w.starts_with(':'));
            let who = place.map_or_else(|| (*user).to_owned(), |place| format!("{user} from {place}"));
            trace.logins.push((*from, times.get(1).copied(), who));
        }
        for line in owners.lines() {
            let Some((packages, path)) = line.split_once(": ") else { continue };
            let name = packages.split([',', ':']).next().unwrap_or(packages);
            trace.owners.insert(path.trim().to_owned(), name.trim().to_owned());
        }
        trace
    }

    /// In words, what may explain how a path became what it is; `written`: when it was last written.
    pub fn blame(&self, path: &str, written: Option<i64>) -> Vec<String> {
        let mut found = vec![];
        let run = self
            .runs
            .iter()
            .rev()
            .find(|(p, when, _)| p == path && written.is_some_and(|written| (written - when).abs() <= NEAR));
        if let Some((_, _, run)) = run {
            found.push(format!("by kdeploy: {run}"));
        }
        if let Some(package) = self.owners.get(path) {
            let last = self.packages.iter().rev().find(|(name, ..)| name == package);
            found.push(match last {
                Some((_, when, did)) => format!("of package {package}, {did} {}", shown(*when)),
                None => format!("of package {package}"),
            });
        }
        if let (Some(written), None) = (written, run) {
            let mut there: Vec<&str> = self
                .logins
                .iter()
                .filter(|(from, to, _)| *from <= written && to.is_none_or(|to| written <= to + NEAR))
                .map(|(_, _, who)| who.as_str())
                .collect();
            there.sort_unstable();
            there.dedup();
            if !there.is_empty() {
                found.push(format!("while {} was logged in", there.join(", ")));
            }
        }
        found
    }
}

fn moment(text: &str) -> Option<i64> {
    // `+0000` and `+00:00`.
    jiff::Timestamp::strptime("%Y-%m-%dT%H:%M:%S%z", text)
        .or_else(|_| text.parse::<jiff::Timestamp>())
        .ok()
        .map(jiff::Timestamp::as_second)
}

/// A moment as the report shows it.
pub fn shown(when: i64) -> String {
    jiff::Timestamp::from_second(when).map(|t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_and_logins_explain() {
        let dpkg = "2026-11-24 19:00:00 startup archives unpack\n\
                    2026-11-24 19:00:01 upgrade containerd:amd64 1.6.20 1.7.24\n\
                    2026-11-24 19:00:02 status installed containerd:amd64 1.7.24\n";
        let last = "operator pts/0        10.0.0.7         2026-11-24T19:30:00+00:00 - 2026-11-24T20:00:00+00:00  (00:30)\n\
                    reboot   system boot  6.1              2026-11-24T18:00:00+00:00   still running\n\
                    root     pts/1        10.0.0.8         2026-11-24T20:30:00+00:00   still logged in\n\n\
                    wtmp begins 2026-11-01T00:00:00+00:00\n";
        let mut trace = Trace::read("+0100", dpkg, last, "containerd:amd64: /usr/bin/ctr\nfoo, bar: /etc/shared\n");
        let at = |text: &str| moment(text);
        assert_eq!(
            trace.blame("/usr/bin/ctr", None),
            ["of package containerd, upgraded from 1.6.20 to 1.7.24 2026-11-24 18:00:01 UTC"]
        );
        assert_eq!(trace.blame("/etc/shared", None), ["of package foo"]);
        let by_hand = trace.blame("/etc/motd", at("2026-11-24T19:45:00+00:00"));
        assert_eq!(by_hand, ["while operator from 10.0.0.7 was logged in"]);
        assert_eq!(trace.blame("/etc/motd", at("2026-11-24T20:10:00+00:00")), Vec::<String>::new());
        assert_eq!(
            trace.blame("/etc/motd", at("2026-11-24T21:00:00+00:00")),
            ["while root from 10.0.0.8 was logged in"]
        );
        // A run of kdeploy's own explains it better than who was there.
        trace.runs.push((
            "/etc/motd".into(),
            at("2026-11-24T19:45:10+00:00").unwrap_or_default(),
            "run 7 of k8s.yml".into(),
        ));
        assert_eq!(trace.blame("/etc/motd", at("2026-11-24T19:45:00+00:00")), ["by kdeploy: run 7 of k8s.yml"]);
    }
}
