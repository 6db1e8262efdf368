//! The way back that a node goes by itself where a change is not confirmed: a shell text made of typed parts.

use super::quote::{quote, quote_all};

/// What is put back if nobody confirms.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Confirm {
    /// Of all changes that are confirmed together.
    pub id: String,
    pub seconds: u64,
    /// Which of them, counted from 1.
    pub number: usize,
    pub paths: Vec<String>,
    /// Commands that take back what is no file.
    pub commands: Vec<Vec<String>>,
    /// Units with whether they were enabled (if that is to be put back) and active.
    pub units: Vec<(String, Option<bool>, bool)>,
    /// A line for the ledger: the changes hold no longer.
    pub ledger: String,
}

impl Confirm {
    fn prefix(&self) -> String {
        format!("{:03}", self.number)
    }

    /// The steps of the request.
    pub(super) fn script(&self) -> String {
        format!("kd_confirm {} {} {} {}", quote(&self.id), self.seconds, self.prefix(), quote_all(&self.paths))
    }

    /// What travels as its blob: the shell text of the way back.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = String::new();
        for (place, path) in self.paths.iter().enumerate() {
            text += &format!("put {}.{} {}\n", self.prefix(), place + 1, quote(path));
        }
        for argv in &self.commands {
            text += &format!("{}\n", quote_all(argv));
        }
        if !self.ledger.is_empty() {
            text += &format!("printf '\\n%s\\n' {} >>\"$c/../../ledger\"\n", quote(self.ledger.trim_end()));
        }
        text += "--units--\n";
        for (unit, enabled, active) in &self.units {
            let unit = quote(unit);
            match enabled {
                Some(true) => text += &format!("systemctl enable -- {unit}\n"),
                Some(false) => text += &format!("systemctl disable -- {unit}\n"),
                None => {}
            }
            text +=
                &if *active { format!("systemctl restart -- {unit}\n") } else { format!("systemctl stop -- {unit}\n") };
        }
        text.into_bytes()
    }
}
