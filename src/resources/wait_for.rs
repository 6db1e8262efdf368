//! `wait_for`: until something is there, or gone.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Action, Command, Done, ExecSpec};
use crate::problem::Problem;
use crate::template::pyregex::{Flags, PyRegex};
use crate::world::{FileKind, Query, Stat, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "wait_for",
    qualified: &["ansible.builtin.wait_for"],
    doc: include_str!("doc/wait_for.md"),
    args: &[
        ArgSpec::new("host", Kind::Str, "The host, as the node sees it").default("127.0.0.1"),
        ArgSpec::new("timeout", Kind::Int, "Seconds to wait at most").default("300"),
        ArgSpec::new("connect_timeout", Kind::Int, "Seconds for one try").default("5"),
        ArgSpec::new("delay", Kind::Int, "Seconds to wait first").default("0"),
        ArgSpec::new("port", Kind::Int, "A TCP port"),
        ArgSpec::new("active_connection_states", Kind::List, "Which connections count for `drained`")
            .default("ESTABLISHED,FIN_WAIT1,FIN_WAIT2,SYN_RECV,SYN_SENT,TIME_WAIT"),
        ArgSpec::new("state", Kind::Str, "What to wait for")
            .default("started")
            .choices(&["absent", "drained", "present", "started", "stopped"]),
        ArgSpec::new("path", Kind::Path, "A file"),
        ArgSpec::new("search_regex", Kind::Str, "What the file must hold, or the port must say"),
        ArgSpec::new("exclude_hosts", Kind::List, "Hosts whose connections do not count for `drained`"),
        ArgSpec::new("sleep", Kind::Int, "Seconds between tries").default("1"),
        ArgSpec::new("msg", Kind::Str, "Message of the failure"),
    ],
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// Only time.
    Time,
    Port(String, u16),
    Path(String),
}

struct Wait {
    what: What,
    state: String,
    timeout: i64,
    delay: i64,
    sleep: i64,
    connect: i64,
    regex: Option<PyRegex>,
    states: Vec<String>,
    exclude: Vec<String>,
    msg: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    kit::exclusive(&args, "port", "path")?;
    let state = args.need("state")?;
    let exclude = args.list("exclude_hosts")?;
    if !exclude.is_empty() && state != "drained" {
        return Err(Problem::new("invalid-argument", "`exclude_hosts` is for `state: drained`")
            .at(args.span("exclude_hosts"))
            .into());
    }
    let what = match (args.int("port")?, args.str("path")?) {
        (Some(port), _) => match u16::try_from(port) {
            Ok(port) => What::Port(args.need("host")?, port),
            Err(_) => return Err(args.wrong("port", "a port number", &Value::from(port)).into()),
        },
        (None, Some(path)) => What::Path(task.path(&path)),
        (None, None) => What::Time,
    };
    let regex = args.str("search_regex")?;
    let flags = Flags { multiline: true, ..Flags::default() };
    let regex = regex
        .map(|text| PyRegex::new(&text, flags))
        .transpose()
        .map_err(|e| Problem::new("invalid-argument", e.to_string()).at(args.span("search_regex")))?;
    match (&what, &regex) {
        (What::Path(_), _) if state == "drained" => {
            return Err(Problem::new("invalid-argument", "`state: drained` is for a port")
                .at(args.span("state"))
                .into());
        }
        _ => {}
    }
    Ok(Arc::new(Wait {
        what,
        state,
        timeout: args.int("timeout")?.unwrap_or(300).max(0),
        delay: args.int("delay")?.unwrap_or(0).max(0),
        sleep: args.int("sleep")?.unwrap_or(1).max(1),
        connect: args.int("connect_timeout")?.unwrap_or(5).max(1),
        regex,
        states: args.list("active_connection_states")?,
        exclude,
        msg: args.str("msg")?,
        task,
    }))
}

/// A regular expression for `grep -E`, where grep knows no Perl's: Python's classes and groups written as POSIX has them.
fn posix(regex: &str) -> String {
    let mut text = regex.to_owned();
    while let Some(at) = text.find("(?P<") {
        let Some(end) = text[at..].find('>') else { break };
        text.replace_range(at + 1..=at + end, "");
    }
    [("\\d", "[0-9]"), ("\\s", "[[:space:]]"), ("\\S", "[^[:space:]]"), ("\\w", "[[:alnum:]_]"), ("(?:", "(")]
        .iter()
        .fold(text, |text, (from, to)| text.replace(from, to))
}

/// Whether standard input holds a pattern: Perl's (`$p`), which is nearly Python's, or where grep has none of that `$e`.
const MATCH: &str =
    "match() { if printf x | grep -Pzq x 2>/dev/null; then grep -aPzq -e \"(?m)$p\"; else grep -aEq -e \"$e\"; fi; }; ";

/// What the port `$1:$2` says, until it holds the pattern or `$3` seconds are over.
const LISTEN: &str = r#"
listen() { if command -v bash >/dev/null 2>&1; then
  timeout "$(($3 + 1))" bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit 1
    all= end=$((SECONDS + $3)) p=$4
    while :; do
      IFS= read -r -d "" -t 0.2 -n 4096 part <&3; rc=$?
      all+=$part; printf %s "$part"
      if printf %s "$all" | grep -aPzq -e "(?m)$p" 2>/dev/null || [ "$SECONDS" -ge "$end" ]; then break; fi
      if [ "$rc" = 1 ] && [ -z "$part" ]; then break; fi
    done' bash "$1" "$2" "$3" "$p" 2>/dev/null
else sleep "$3" | timeout "$3" nc "$1" "$2" 2>/dev/null; fi; }
"#;

/// Waits until a test holds: `test` is put after `until`; `$1` timeout, `$2` pause, then the test's own arguments.
fn until(test: &str) -> String {
    format!(
        "t=$1 s=$2; shift 2; end=$(( $(date +%s) + t )); until {test}; do [ \"$(date +%s)\" -lt \"$end\" ] || exit 64; sleep \"$s\"; done"
    )
}

/// A connection to `$1:$2` within `$3` seconds, by whatever the node has.
const CONNECT: &str = "if command -v nc >/dev/null 2>&1; then nc -z -w \"$3\" \"$1\" \"$2\" </dev/null >/dev/null 2>&1; \
     elif command -v bash >/dev/null 2>&1; then timeout \"$3\" bash -c 'exec 3<>\"/dev/tcp/$1/$2\"' bash \"$1\" \"$2\" 2>/dev/null; \
     else cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -qi \":$4 [0-9A-F]*:0000 0A\"; fi";

/// Whether connections of the pattern `$1` are there, those of the hosts `$2`… not counted: the kernel writes an address's four bytes
/// backwards.
const CONNECTED: &str = r#"
connected() {
  lines=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -E "$1"); shift
  for host do
    for address in $(getent ahostsv4 "$host" 2>/dev/null | cut -d' ' -f1 | sort -u) "$host"; do
      case $address in *[!0-9.]*) continue; esac
      hex=$(IFS=.; set -- $address; printf '%02X%02X%02X%02X' "$4" "$3" "$2" "$1")
      lines=$(printf '%s
' "$lines" | grep -Ev " [0-9A-F]*$hex:[0-9A-F]* [0-9A-F][0-9A-F] ")
    done
  done
  [ -n "$lines" ]
}
"#;

/// TCP states as /proc/net/tcp numbers them.
const STATES: &[(&str, &str)] = &[
    ("ESTABLISHED", "01"),
    ("SYN_SENT", "02"),
    ("SYN_RECV", "03"),
    ("FIN_WAIT1", "04"),
    ("FIN_WAIT2", "05"),
    ("TIME_WAIT", "06"),
    ("CLOSE_WAIT", "08"),
    ("LAST_ACK", "09"),
    ("CLOSING", "0B"),
];

fn is_local(host: &str) -> bool {
    host == "localhost" || host == "0.0.0.0" || host == "::1" || host == "::" || host.starts_with("127.")
}

impl Wait {
    fn wants_presence(&self) -> bool {
        matches!(self.state.as_str(), "present" | "started")
    }

    fn result(&self) -> TaskResult {
        let none = || Value::from(());
        let (path, port) = match &self.what {
            What::Path(path) => (Value::from(path.as_str()), none()),
            What::Port(_, port) => (none(), Value::from(*port)),
            What::Time => (none(), none()),
        };
        TaskResult::unchanged()
            .with("elapsed", 0)
            .with("match_groupdict", kit::map([]))
            .with("match_groups", Value::from(Vec::<String>::new()))
            .with("path", path)
            .with("port", port)
            .with("search_regex", self.regex.as_ref().map_or(none(), |r| Value::from(r.pattern())))
            .with("state", self.state.as_str())
    }

    /// What is waited for holds already, as far as answers tell.
    fn holds(&self, world: &View) -> Result<Option<TaskResult>, Stop> {
        match &self.what {
            What::Time => Ok(None),
            What::Path(path) => {
                world.want([Query::Stat { path: path.clone(), follow: true }]);
                let stat = world.stat(path, true)?;
                match (stat, self.wants_presence()) {
                    (None, false) => Ok(Some(self.result())),
                    (Some(stat), true) if self.regex.is_none() => Ok(Some(with_stat(self.result(), &stat))),
                    _ => Ok(None),
                }
            }
            What::Port(host, port) if is_local(host) && self.state != "drained" && self.regex.is_none() => {
                let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
                world.want(tables.map(|p| Query::Content { path: p.to_owned() }));
                let mut listens = false;
                for table in tables {
                    let text = world.content(table)?.map(|b| kit::text(&b)).unwrap_or_default();
                    listens |= text.lines().any(|l| {
                        let fields: Vec<&str> = l.split_whitespace().collect();
                        fields.len() > 3 && fields[3] == "0A" && fields[1].ends_with(&format!(":{port:04X}"))
                    });
                }
                Ok((listens == self.wants_presence()).then(|| self.result()))
            }
            What::Port(..) => Ok(None),
        }
    }

    /// The result with what the pattern's groups took of the text.
    fn matched(&self, result: TaskResult, done: &[Done]) -> TaskResult {
        let text = done.last().map(|d| kit::output_of(d).text()).unwrap_or_default();
        let Some((regex, found)) = self.regex.as_ref().and_then(|r| Some((r, r.search(&text).ok()??))) else {
            return result;
        };
        let group = |i| found.group(&text, i).map_or(Value::from(()), Value::from);
        let groups: Vec<Value> = (1..=regex.group_count()).map(group).collect();
        let named = regex.group_names().map(|(i, name)| (name.to_owned(), group(i)));
        result.with("match_groups", groups).with("match_groupdict", kit::map(named))
    }

    fn action(&self) -> Action {
        let (timeout, sleep) = (self.timeout.to_string(), self.sleep.to_string());
        let not = if self.wants_presence() { "" } else { "! " };
        let mut after = "";
        let (test, args): (String, Vec<String>) = match &self.what {
            What::Path(path) => match &self.regex {
                // Its content is given back: the groups that were matched are told of it.
                Some(_) if self.wants_presence() => {
                    after = "; head -c 1000000 -- \"$1\"";
                    ("match <\"$1\" 2>/dev/null".to_owned(), vec![path.clone()])
                }
                Some(_) => ("! match <\"$1\" 2>/dev/null".to_owned(), vec![path.clone()]),
                None => (format!("{not}test -e \"$1\""), vec![path.clone()]),
            },
            What::Port(_, port) if self.state == "drained" => {
                let states: Vec<&str> = STATES
                    .iter()
                    .filter(|(name, _)| self.states.iter().any(|s| s == name))
                    .map(|(_, code)| *code)
                    .collect();
                let pattern = format!(":{port:04X} [0-9A-F]*:[0-9A-F]* ({})", states.join("|"));
                let mut args = vec![pattern];
                args.extend(self.exclude.iter().cloned());
                ("! connected \"$@\"".to_owned(), args)
            }
            What::Port(host, port) if self.regex.is_some() && self.wants_presence() => {
                after = "; printf %s \"$said\"";
                (
                    "{ said=$(listen \"$@\"); printf %s \"$said\" | match; }".to_owned(),
                    vec![host.clone(), port.to_string(), self.connect.to_string()],
                )
            }
            What::Port(host, port) => (
                format!("{not}{{ {CONNECT}; }}"),
                vec![host.clone(), port.to_string(), self.connect.to_string(), format!("{port:04X}")],
            ),
            What::Time => (String::new(), vec![]),
        };
        let (mut text, mut patterns) = (String::new(), vec![]);
        if let Some(regex) = &self.regex {
            text = format!("p=$1 e=$2; shift 2; {MATCH}{LISTEN}");
            patterns = vec![regex.pattern().to_owned(), posix(regex.pattern())];
        } else if self.state == "drained" {
            CONNECTED.clone_into(&mut text);
        }
        text.push_str(&until(&test));
        text.push_str(after);
        let mut argv = vec!["sh".to_owned(), "-c".to_owned(), text, "sh".to_owned()];
        argv.extend(patterns);
        argv.extend([timeout, sleep]);
        argv.extend(args);
        ExecSpec {
            command: Command::Argv(argv),
            env: self.task.environment.clone(),
            ok_codes: vec![0],
            timeout: u64::try_from(self.timeout).unwrap_or(0) + 60,
            ..ExecSpec::default()
        }
        .into_action()
    }
}

/// A file's attributes in a result.
pub(super) fn with_stat(result: TaskResult, stat: &Stat) -> TaskResult {
    let kind = match stat.kind {
        FileKind::Directory => "directory",
        FileKind::Link => "link",
        _ => "file",
    };
    result
        .with("state", kind)
        .with("uid", stat.uid)
        .with("gid", stat.gid)
        .with("owner", stat.owner.as_str())
        .with("group", stat.group.as_str())
        .with("mode", format!("{:04o}", stat.mode))
        .with("size", stat.size)
}

impl Resource for Wait {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        if self.delay == 0
            && let Some(result) = self.holds(world)?
        {
            return Ok(Verdict::Unchanged(result));
        }
        let seconds = |n: i64| Action::Sleep { seconds: n as f64 };
        let mut actions = vec![];
        if self.delay > 0 {
            actions.push(seconds(self.delay));
        }
        match self.what {
            What::Time => actions.push(seconds(self.timeout)),
            _ => actions.push(self.action()),
        }
        let result = match self.what {
            What::Time => self.result().with("elapsed", self.timeout + self.delay),
            _ => self.result(),
        };
        Ok(Verdict::Change(Change { result, ..kit::change(ChangeKind::Run, actions, vec![]) }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let Some((message, output)) = kit::failure(done) else { return Ok(self.matched(change.result.clone(), done)) };
        let what = match &self.what {
            What::Path(path) => match (&self.regex, self.wants_presence()) {
                (Some(regex), _) => format!("Timeout when waiting for search string {} in {path}", regex.pattern()),
                (None, true) => format!("Timeout when waiting for file {path}"),
                (None, false) => format!("Timeout when waiting for {path} to be absent."),
            },
            What::Port(host, port) => match (self.state.as_str(), &self.regex) {
                ("started" | "present", Some(regex)) => {
                    format!("Timeout when waiting for search string {} in {host}:{port}", regex.pattern())
                }
                ("drained", _) => format!("Timeout when waiting for {host}:{port} to drain"),
                ("absent" | "stopped", _) => format!("Timeout when waiting for {host}:{port} to stop."),
                _ => format!("Timeout when waiting for {host}:{port}"),
            },
            What::Time => message.to_owned(),
        };
        let msg = match (&self.msg, output.rc) {
            (Some(msg), 64) => msg.clone(),
            (None, 64) => what,
            _ => format!("{what}: {message}"),
        };
        Err(TaskResult::unchanged().with("elapsed", self.timeout).with("msg", msg))
    }
}
