//! [`Conversation`] over any transport: one connection, one shell per identity.

use std::time::{Duration, Instant};

use super::act::{self, Outcomes, Told};
use super::ask;
use super::becoming::{become_command, become_trouble, last_line, method, prompt_text};
use super::blob;
use super::channel::Transport;
use super::holder::Holder;
use super::quote::quote;
use super::shell::{self, Library, Shell, ShellError};
use super::unpack;
use super::{Action, Claim, Conversation, Done, Hello, Identity, Lock, NodeError, Target, Traffic, UnpackSource};
use crate::world::{Answer, Output, Query};

/// Longest wait for a shell to come up, password prompts included, where the target sets no other.
const DEFAULT_CONNECT: Duration = Duration::from_secs(30);

pub struct Node {
    target: Target,
    transport: Box<dyn Transport>,
    shells: Vec<(Identity, Shell)>,
    traffic: Traffic,
    /// As whom the node's lock was taken.
    locked: Option<Identity>,
    /// Lines of the ledger that tell what is owed, as of taking the lock.
    debts: String,
    ledger_bytes: u64,
}

impl Node {
    pub fn new(target: &Target, transport: Box<dyn Transport>) -> Self {
        Self {
            target: target.clone(),
            transport,
            shells: vec![],
            traffic: Traffic::default(),
            locked: None,
            debts: String::new(),
            ledger_bytes: 0,
        }
    }

    fn connect_timeout(&self) -> Duration {
        if self.target.connect_timeout.is_zero() { DEFAULT_CONNECT } else { self.target.connect_timeout }
    }

    fn command_timeout(&self) -> Option<Duration> {
        (!self.target.command_timeout.is_zero()).then_some(self.target.command_timeout)
    }

    /// Becoming the user one already is needs no second shell.
    fn effective(&mut self, identity: &Identity) -> Identity {
        match (&identity.become_user, self.transport.user()) {
            (Some(user), Some(login)) if *user == login => Identity::default(),
            (None, _) => Identity::default(),
            _ => identity.clone(),
        }
    }

    /// The shell of an identity; opens it if there is none.
    fn shell(&mut self, identity: &Identity) -> Result<usize, NodeError> {
        let identity = self.effective(identity);
        self.shells.retain(|(_, s)| !s.is_dead());
        if let Some(i) = self.shells.iter().position(|(id, _)| *id == identity) {
            return Ok(i);
        }
        let began = Instant::now();
        let prompt = prompt_text();
        let inner = shell::command(self.target.shell.as_deref());
        let command = match &identity.become_user {
            None => format!("exec {inner}"),
            Some(user) => format!("exec {}", become_command(user, &identity, &prompt, &inner)?),
        };
        let channel = self.transport.open(&command)?;
        let local = self.target.transport == super::Transport::Local;
        let mut shell = Shell::new(channel, local);
        if let (Some(user), Some(password)) = (&identity.become_user, &identity.password) {
            let prompts: &[&str] = if identity.method == "su" { &["assword: ", "asswort: "] } else { &[&prompt] };
            let wait = self.connect_timeout();
            let asked = shell.await_prompt(prompts, wait).map_err(|e| self.refused(&identity, &e))?;
            if asked.is_some() {
                shell
                    .send_now(format!("{}\n", password.0).as_bytes(), wait)
                    .map_err(|e| self.refused(&identity, &e))?;
                match shell.await_prompt(prompts, wait) {
                    Ok(None) => {}
                    Ok(Some(_)) => {
                        return Err(NodeError::Refused {
                            message: format!("wrong {} password for becoming `{user}`", method(&identity)),
                            help: vec![
                                "give the right one with -K (--ask-become-pass) or `ansible_become_password`".into(),
                            ],
                        });
                    }
                    Err(e) => return Err(self.refused(&identity, &e)),
                }
            }
        }
        self.traffic.connect += began.elapsed();
        self.shells.push((identity, shell));
        Ok(self.shells.len() - 1)
    }

    /// Words for a shell that came to no life, or was lost.
    fn refused(&self, identity: &Identity, error: &ShellError) -> NodeError {
        let (why, stderr) = match error {
            ShellError::Timeout(wait) => {
                return NodeError::Timeout { what: self.transport.describe(), seconds: wait.as_secs() };
            }
            ShellError::Lost { why, broken: true, .. } => {
                return NodeError::Unreachable {
                    message: format!("lost the connection to {}: {why}", self.transport.describe()),
                    help: vec![],
                };
            }
            ShellError::Lost { why, stderr, .. } => (why, stderr.as_str()),
        };
        if let Some(error) = self.transport.explain(stderr) {
            return error;
        }
        if let Some(user) = &identity.become_user {
            return become_trouble(user, identity, why, stderr);
        }
        let words = last_line(stderr).map_or_else(|| why.clone(), |line| format!("{why}: {line}"));
        NodeError::Refused {
            message: format!("{}: no shell: {words}", self.transport.describe()),
            help: vec![format!("kdeploy needs {} on the node", self.target.shell.as_deref().unwrap_or("/bin/sh"))],
        }
    }

    fn lost(&self, identity: &Identity, greeted: bool, error: ShellError) -> NodeError {
        if !greeted {
            return self.refused(identity, &error);
        }
        match error {
            ShellError::Timeout(wait) => {
                NodeError::Timeout { what: self.transport.describe(), seconds: wait.as_secs() }
            }
            ShellError::Lost { why, stderr, .. } => self.transport.explain(&stderr).unwrap_or_else(|| {
                let words = last_line(&stderr).map_or_else(|| why.clone(), |line| format!("{why}: {line}"));
                NodeError::Unreachable {
                    message: format!("lost the connection to {}: {words}", self.transport.describe()),
                    help: vec![],
                }
            }),
        }
    }

    /// One exchange with a shell, its traffic counted.
    fn exchange(
        &mut self,
        at: usize,
        wait: Option<Duration>,
        take: &mut dyn FnMut(shell::Section) -> Result<bool, ShellError>,
    ) -> Result<(), NodeError> {
        let shell = &mut self.shells[at].1;
        let (sent, received) = (shell.sent, shell.received);
        let fresh = !shell.is_greeted();
        let began = Instant::now();
        let mut greeting: Option<Duration> = None;
        let outcome = if fresh {
            // The greeting comes first; how long it took belongs to connecting.
            let wait = Some(self.connect_timeout());
            let shell = &mut self.shells[at].1;
            let hello = shell.hello(wait);
            greeting = Some(began.elapsed());
            hello.map(|_| ())
        } else {
            Ok(())
        };
        let shell = &mut self.shells[at].1;
        let outcome = outcome.and_then(|()| shell.converse(wait, take));
        self.traffic.bytes_sent += shell.sent - sent;
        self.traffic.bytes_received += shell.received - received;
        self.traffic.connect += greeting.unwrap_or_default();
        if let Err(e) = outcome {
            let greeted = shell.is_greeted();
            let identity = self.shells[at].0.clone();
            let error = self.lost(&identity, greeted, e);
            self.shells.remove(at);
            if matches!(error, NodeError::Unreachable { .. }) {
                self.disconnect();
            }
            return Err(error);
        }
        Ok(())
    }

    pub(super) fn disconnect(&mut self) {
        self.shells.clear();
        self.transport.disconnect();
    }

    /// Actions that are requests to the shell, in one round trip. Stops at the first that fails.
    fn act_on_node(
        &mut self,
        identity: &Identity,
        first: usize,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        // A blob that cannot be had ends the batch before its action; those before it are carried out.
        let mut trouble: Option<Done> = None;
        let at = self.shell(identity)?;
        let mut requests = vec![];
        for (offset, action) in actions.iter().enumerate() {
            let shell = &mut self.shells[at].1;
            let request = match blob::of_action(action).transpose() {
                Ok(blob) => act::request(first + offset, action, blob, shell),
                Err(why) => Err(why),
            };
            match request {
                Ok(request) => requests.push(request),
                Err(why) => {
                    let message = format!("{}: {why}", act::describe(action));
                    trouble = Some(Done::Failed { message, output: Output { rc: 1, ..Output::default() } });
                    break;
                }
            }
        }
        let mut done =
            if requests.is_empty() { vec![] } else { self.send_requests(identity, first, actions, requests, ended)? };
        if let (Some(trouble), false) = (trouble, matches!(done.last(), Some(Done::Failed { .. }))) {
            ended(first + done.len(), &trouble);
            done.push(trouble);
        }
        Ok(done)
    }

    /// Requests of one batch, all sent without waiting; outcomes as they come.
    fn send_requests(
        &mut self,
        identity: &Identity,
        first: usize,
        actions: &[Action],
        requests: Vec<act::Request>,
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        let at = self.shell(identity)?;
        let wait = self.command_timeout();
        let shell = &mut self.shells[at].1;
        shell.need(Library::Action);
        if actions.iter().any(|a| matches!(a, Action::Ledger { .. })) {
            shell.need(Library::Ledger);
        }
        if actions.iter().any(|a| matches!(a, Action::Confirm(_) | Action::Confirmed { .. })) {
            shell.need(Library::Confirm);
        }
        shell.request('b', "[ $X -lt 16 ] || { P=$((P+1)); rm -f -- \"$D\"/[oeic][0-9]*; X=0; }", None);
        for request in requests {
            shell.request('r', &request.script, request.blob);
        }
        shell.request('b', "kd_end z $P", None);
        let before = shell.processes;
        let mut outcomes = Outcomes::default();
        let mut done: Vec<Done> = vec![];
        self.traffic.round_trips += 1;
        let result = self.exchange(at, wait, &mut |section| match outcomes
            .take(section, |i| act::describe(&actions[i - first]))
        {
            Told::Nothing => Ok(false),
            Told::BatchOver => Ok(true),
            Told::Ended(index, outcome) => {
                ended(index, &outcome);
                done.push(outcome);
                Ok(false)
            }
        });
        if let Err(error) = result {
            // A failure that made the shell give up (a full disk in the middle of a blob) was told before.
            if matches!(done.last(), Some(Done::Failed { .. })) {
                return Ok(done);
            }
            return Err(after(error, done.len(), actions));
        }
        if let Some((_, shell)) = self.shells.get_mut(at) {
            shell.processes = outcomes.processes.max(before);
            self.traffic.processes += shell.processes - before;
        }
        Ok(done)
    }
}

/// Says after which action a connection was lost.
fn after(error: NodeError, done: usize, actions: &[Action]) -> NodeError {
    let place = match (actions.get(done), done) {
        (Some(action), _) => format!("while it worked on {}", act::describe(action)),
        (None, _) => "at the end of the batch".to_owned(),
    };
    match error {
        NodeError::Unreachable { message, help } => {
            NodeError::Unreachable { message: format!("{message} ({place})"), help }
        }
        NodeError::Timeout { what, seconds } => NodeError::Timeout { what: format!("{what} {place}"), seconds },
        refused => refused,
    }
}

impl Conversation for Node {
    fn hello(&mut self, identity: &Identity) -> Result<Hello, NodeError> {
        let at = self.shell(identity)?;
        let wait = Some(self.connect_timeout());
        let began = Instant::now();
        let shell = &mut self.shells[at].1;
        let fresh = !shell.is_greeted();
        let (sent, received) = (shell.sent, shell.received);
        match shell.hello(wait) {
            Ok((hello, _)) => {
                self.traffic.bytes_sent += shell.sent - sent;
                self.traffic.bytes_received += shell.received - received;
                if fresh {
                    self.traffic.connect += began.elapsed();
                }
                Ok(hello)
            }
            Err(e) => {
                let identity = self.shells[at].0.clone();
                self.shells.remove(at);
                let error = self.refused(&identity, &e);
                if matches!(error, NodeError::Unreachable { .. }) {
                    self.disconnect();
                }
                Err(error)
            }
        }
    }

    fn ask(&mut self, identity: &Identity, queries: &[Query]) -> Result<Vec<Answer>, NodeError> {
        let idle = self.has_shell(identity);
        match self.ask_once(identity, queries) {
            // A connection that stood idle may have been cut (a firewall, a restart of sshd): asking changes nothing, so
            // it is asked again over a new one.
            Err(NodeError::Unreachable { .. }) if idle => self.ask_once(identity, queries),
            answered => answered,
        }
    }

    fn act(
        &mut self,
        identity: &Identity,
        actions: &[Action],
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        let mut done: Vec<Done> = vec![];
        while done.len() < actions.len() && !matches!(done.last(), Some(Done::Failed { .. })) {
            let first = done.len();
            let rest = &actions[first..];
            let plain = rest.iter().take_while(|a| !is_special(a)).count();
            if let [ledger @ Action::Ledger { .. }, unpack @ Action::Unpack { .. }, ..] = rest {
                // What the ledger says of an archive travels with it.
                done.extend(self.unpack(identity, first, Some(ledger), unpack, ended)?);
                continue;
            }
            if plain > 0 {
                done.extend(self.act_on_node(identity, first, &rest[..plain], ended)?);
                continue;
            }
            let outcome = self.act_specially(identity, first, &rest[0])?;
            ended(first, &outcome);
            done.push(outcome);
        }
        Ok(done)
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }

    fn kind(&self) -> super::Transport {
        self.target.transport
    }

    fn debts(&self) -> (&str, u64) {
        (&self.debts, self.ledger_bytes)
    }

    fn lock(&mut self, identity: &Identity, claim: Claim<'_>) -> Result<Lock, NodeError> {
        let effective = self.effective(identity);
        if self.locked.as_ref() == Some(&effective) && self.has_shell(identity) {
            return Ok(Lock::Ours);
        }
        let who: String = claim.who.chars().filter(|c| !c.is_control()).collect();
        let left = claim.left.map(|l| format!(" {} {}", l.process, quote(&l.started))).unwrap_or_default();
        let request = format!("kd_lock {} {}{left}; kd_debts; kd_end z $P", quote(&who), quote(claim.place));
        let sections = self.short_within(identity, &request, None)?;
        let Some(section) = sections.first() else { return Ok(Lock::Impossible("the node told nothing".into())) };
        let text = String::from_utf8_lossy(&section.body).into_owned();
        Ok(match section.tag.as_str() {
            "locked" => {
                self.locked = Some(effective);
                self.debts = sections.get(1).map(|s| String::from_utf8_lossy(&s.body).into_owned()).unwrap_or_default();
                let size = sections.get(1).and_then(|s| s.tag.rsplit(' ').next()?.parse().ok());
                self.ledger_bytes = size.unwrap_or_default();
                Lock::Ours
            }
            "held" => Lock::Held(Holder::parse(&text)),
            _ => Lock::Impossible(text),
        })
    }
}

/// Actions that the control machine leads through several exchanges.
fn is_special(action: &Action) -> bool {
    matches!(action, Action::Unpack { .. } | Action::Reboot { .. } | Action::Sleep { .. } | Action::Reconnect)
}

impl Node {
    fn has_shell(&mut self, identity: &Identity) -> bool {
        let identity = self.effective(identity);
        self.shells.iter().any(|(id, shell)| *id == identity && shell.is_greeted())
    }

    fn ask_once(&mut self, identity: &Identity, queries: &[Query]) -> Result<Vec<Answer>, NodeError> {
        let mut answers: Vec<Option<Answer>> = queries.iter().map(|_| None).collect();
        let parts = ask::parts(queries, &mut answers);
        if !parts.is_empty() {
            let at = self.shell(identity)?;
            let wait = self.command_timeout();
            let shell = &mut self.shells[at].1;
            shell.need(Library::Query);
            let mut script: String = parts.iter().map(|p| p.script() + "\n").collect();
            script += "kd_end z $P";
            shell.request('b', &script, None);
            let mut reader = ask::Reader::new(&parts, &shell.nonce);
            let before = shell.processes;
            self.traffic.round_trips += 1;
            self.exchange(at, wait, &mut |section| Ok(reader.take(section, &mut answers)))?;
            let shell = &mut self.shells[at].1;
            shell.processes = reader.processes.max(before);
            self.traffic.processes += shell.processes - before;
        }
        let missing = || Answer::Failed("the node gave no answer".into());
        Ok(answers.into_iter().map(|a| a.unwrap_or_else(missing)).collect())
    }

    fn act_specially(&mut self, identity: &Identity, index: usize, action: &Action) -> Result<Done, NodeError> {
        let failed = |message: String| Done::Failed { message, output: Output { rc: 1, ..Output::default() } };
        match action {
            Action::Sleep { seconds } => {
                std::thread::sleep(Duration::try_from_secs_f64(*seconds).unwrap_or_default());
                Ok(Done::Ok(Output::default()))
            }
            Action::Reconnect => {
                self.disconnect();
                Ok(Done::Ok(Output::default()))
            }
            Action::Reboot { command, delay, timeout, message } => {
                let order =
                    super::reboot::Order { command: command.as_deref(), delay: *delay, timeout: *timeout, message };
                self.reboot(identity, &order)
            }
            Action::Unpack { .. } => {
                let mut done = self.unpack(identity, index, None, action, &mut |_, _| {})?;
                Ok(done.pop().unwrap_or_else(|| failed("the node told no outcome".into())))
            }
            other => unreachable!("{other:?} is a request of its own"),
        }
    }

    /// Unpacks an archive, after the lines that tell of it where there are some.
    fn unpack(
        &mut self,
        identity: &Identity,
        first: usize,
        ledger: Option<&Action>,
        action: &Action,
        ended: &mut dyn FnMut(usize, &Done),
    ) -> Result<Vec<Done>, NodeError> {
        let failed = |message: String| Done::Failed { message, output: Output { rc: 1, ..Output::default() } };
        let Action::Unpack { source, .. } = action else { unreachable!("{action:?} is no archive") };
        let prepared = match source {
            UnpackSource::Sent(blob) => {
                let at = self.shell(identity)?;
                let wait = Some(self.connect_timeout());
                let hello = self.shells[at].1.hello(wait);
                let (_, tools) = match hello {
                    Ok(hello) => hello,
                    Err(e) => return Err(self.refused(identity, &e)),
                };
                unpack::prepare(blob, &tools)
                    .map(|(piece, compression)| (unpack::script(action, None, compression), Some(piece)))
            }
            UnpackSource::OnNode(path) => {
                let answers = self.ask(identity, &unpack::questions(path))?;
                unpack::judge(path, &answers).map(|zip| (unpack::script(action, Some((path, zip)), ""), None))
            }
        };
        let place = first + usize::from(ledger.is_some());
        let (script, blob) = match prepared {
            Ok(both) => both,
            Err(why) => {
                // Nothing is written, so nothing is noted either.
                let refused = failed(format!("{}: {why}", act::describe(action)));
                ended(place, &refused);
                let noted = ledger.map(|_| Done::Ok(Output::default()));
                return Ok(noted.into_iter().chain([refused]).collect());
            }
        };
        let mut requests = vec![];
        let mut actions = vec![];
        if let Some(ledger) = ledger {
            let at = self.shell(identity)?;
            let blob = blob::of_action(ledger).transpose();
            match blob.and_then(|blob| act::request(first, ledger, blob, &mut self.shells[at].1)) {
                Ok(request) => requests.push(request),
                Err(why) => return Ok(vec![failed(why)]),
            }
            actions.push(ledger.clone());
        }
        requests.push(act::Request { script: act::framed(place, &script), blob });
        actions.push(action.clone());
        self.send_requests(identity, first, &actions, requests, ended)
    }

    pub(super) fn transport_kind(&self) -> super::Transport {
        self.target.transport
    }

    /// One request whose sections come back as they are, until the one tagged `z`.
    pub(super) fn short_within(
        &mut self,
        identity: &Identity,
        script: &str,
        wait: Option<Duration>,
    ) -> Result<Vec<shell::Section>, NodeError> {
        let at = self.shell(identity)?;
        let shell = &mut self.shells[at].1;
        shell.need(Library::Action);
        shell.need(Library::Ledger);
        shell.request('b', script, None);
        self.traffic.round_trips += 1;
        let mut sections = vec![];
        self.exchange(at, wait, &mut |section| {
            if section.tag.starts_with("z ") {
                return Ok(true);
            }
            sections.push(section);
            Ok(false)
        })?;
        Ok(sections)
    }
}
