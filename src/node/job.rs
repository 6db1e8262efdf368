//! Background jobs (`async`): requests that a node works off by itself, and what their file tells.
//!
//! A job's requests travel as one blob and are kept beside its file until it has read them. The node's loop works them
//! off as it does a conversation's, only that the replies go to the file. It needs nobody on the other end.

use super::act::{self, Outcomes, Told};
use super::quote::quote;
use super::shell::{Piece, Section, Shell};
use super::{Action, Done, blob};

/// Actions to carry out in the background.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where its replies go; `FILE.job` is its private directory while it runs.
    pub file: String,
    /// It is stopped after so many seconds.
    pub seconds: u64,
    /// What is known of the result from the start, as JSON; kept in the file.
    pub known: String,
    pub actions: Vec<Action>,
}

/// What a job's file tells.
#[derive(Debug, Clone, Default)]
pub struct JobState {
    /// It is over, or its processes are gone.
    pub ended: bool,
    /// It came to its own end.
    pub complete: bool,
    /// It was stopped when its time was over.
    pub late: bool,
    /// Its first process.
    pub pid: Option<u64>,
    pub known: String,
    pub dones: Vec<Done>,
    /// Seconds since the epoch.
    pub began: Option<f64>,
    pub until: Option<f64>,
}

/// Prints `none`, or `alive` or `gone` and the file. Its argument is the file.
pub const READ: &str = "[ -f \"$1\" ] || { if [ -d \"$1.job\" ]; then echo alive; else echo none; fi; exit 0; }; IFS=' ' read -r a b c d <\"$1\"; s=; \
    { IFS= read -r s <\"/proc/$c/stat\"; } 2>/dev/null; s=${s##*) }; set -- \"$1\" $s; \
    if [ \"$d\" ] && [ \"${21}\" = \"$d\" ]; then echo alive; else echo gone; fi; cat -- \"$1\"";

impl Job {
    /// Whether the node can work these actions off alone.
    pub fn can_hold(actions: &[Action]) -> bool {
        !actions.is_empty()
            && !actions.iter().any(|a| {
                matches!(
                    a,
                    Action::Unpack { .. }
                        | Action::Reboot { .. }
                        | Action::Sleep { .. }
                        | Action::Reconnect
                        | Action::Background(_)
                        | Action::Ledger { .. }
                        | Action::Confirm(_)
                        | Action::Confirmed { .. }
                )
            })
    }

    /// The steps that start it, and its requests as a blob.
    pub(super) fn request(&self, shell: &mut Shell) -> Result<(String, Piece), String> {
        let nonce = super::shell::nonce();
        let mut stream: Vec<u8> = vec![];
        let mut add = |kind: char, script: &str, blob: Option<Piece>| -> Result<(), String> {
            let length = blob.as_ref().map_or(0, Piece::len);
            stream.extend(format!("{kind} {} {length}\n{script}", script.len()).into_bytes());
            if let Some(piece) = blob.filter(|_| length > 0) {
                stream.extend(piece.into_bytes()?);
                stream.extend(format!("{nonce}\n").into_bytes());
            }
            Ok(())
        };
        add('b', &format!("printf '%s' {}; kd_end known; date +%s.%N; kd_end began", quote(&self.known)), None)?;
        for (index, action) in self.actions.iter().enumerate() {
            let piece = blob::of_action(action).transpose()?;
            let request = act::request(index, action, piece, shell)?;
            add('r', &request.script, request.blob)?;
        }
        add('b', "date +%s.%N; kd_end ended", None)?;
        let steps = format!("kd_job {} {} {nonce}", quote(&self.file), self.seconds);
        Ok((steps, Piece::Bytes(std::sync::Arc::new(stream))))
    }
}

impl JobState {
    /// Reads what [`READ`] printed; `None`: there is no such job.
    pub fn parse(text: &[u8], describe: impl Fn(usize) -> String) -> Option<Self> {
        let (word, rest) = line(text)?;
        if word == b"none" {
            return None;
        }
        let mut state = Self { ended: word != b"alive", ..Self::default() };
        let Some((head, mut rest)) = line(rest) else { return Some(state) };
        let head = String::from_utf8_lossy(head).into_owned();
        let nonce = head.split(' ').nth(1).unwrap_or_default();
        state.pid = head.split(' ').nth(2).and_then(|pid| pid.parse().ok());
        let marker = format!("{nonce}= ").into_bytes();
        let mut outcomes = Outcomes::default();
        while let Some(at) = memchr::memmem::find(rest, &marker) {
            let body = rest[..at].to_vec();
            let Some((tag, after)) = line(&rest[at + marker.len()..]) else { break };
            rest = after;
            let tag = String::from_utf8_lossy(tag).into_owned();
            let number = || String::from_utf8_lossy(&body).trim().trim_end_matches(".%N").parse().ok();
            match tag.as_str() {
                "known" => state.known = String::from_utf8_lossy(&body).into_owned(),
                "began" => state.began = number(),
                "ended" => state.until = number(),
                "late" => (state.late, state.ended) = (true, true),
                _ => match outcomes.take(Section { body, tag }, &describe) {
                    Told::Nothing => {}
                    Told::Ended(_, done) => state.dones.push(done),
                    Told::BatchOver => (state.complete, state.ended) = (true, true),
                },
            }
        }
        Some(state)
    }
}

/// The first line and the rest.
fn line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'\n', text)?;
    Some((&text[..at], &text[at + 1..]))
}
