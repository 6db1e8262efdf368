//! Changes that can lock the operator out (`confirm: SECONDS`): the node puts them back by itself unless a new connection confirms.
//!
//! What belongs together is confirmed together: the tasks of a block, and the handlers that they notify, which run at its end.

use std::time::{Duration, Instant};

use crate::ledger::{self, Line, Thing};
use crate::node::{Action, Confirm, Done, Identity};
use crate::plan::{Driver, Lost};

/// What waits to be confirmed on a node.
pub struct Pending {
    pub id: String,
    pub seconds: u64,
    pub target: String,
    pub identity: Identity,
    pub count: usize,
    /// When the timer was armed last.
    pub armed: Instant,
}

impl Pending {
    pub fn new(id: &str, seconds: u64, target: &str, identity: &Identity) -> Self {
        Self {
            id: id.replace('/', "-"),
            seconds,
            target: target.to_owned(),
            identity: identity.clone(),
            count: 0,
            armed: Instant::now(),
        }
    }

    /// The action that saves what a change touches and arms the timer.
    pub fn arm(&mut self, change: &ledger::Change) -> Action {
        self.count += 1;
        self.armed = Instant::now();
        let mut confirm =
            Confirm { id: self.id.clone(), seconds: self.seconds, number: self.count, ..Confirm::default() };
        confirm.paths = change.paths.iter().filter(|p| *p != ledger::PACKAGES).cloned().collect();
        for thing in &change.things {
            match thing {
                Thing::Unit { name, existed, file_state, active, user: false } => {
                    let enabled = match file_state.as_str() {
                        "enabled" => Some(true),
                        "disabled" => Some(false),
                        _ => None,
                    };
                    confirm.units.push((name.clone(), enabled, *existed && *active));
                }
                Thing::Command { argv, .. } => confirm.commands.push(argv.clone()),
                _ => {}
            }
        }
        let undone = Line::Undone { changes: vec![change.id.clone()], run: change.run.clone() };
        confirm.ledger = undone.text();
        Action::Confirm(confirm)
    }

    /// Confirms over a new connection, as long as the node waits.
    pub fn conclude(&self, driver: &Driver) -> Result<(), Lost> {
        let interpreter = &driver.interpreter;
        let until = self.armed + Duration::from_secs(self.seconds);
        loop {
            let mut node = driver.fleet.fresh(&interpreter.run, &interpreter.play, &self.target)?;
            let confirmed = Action::Confirmed { id: self.id.clone() };
            let why = match node.act(&self.identity, &[confirmed], &mut |_, _| {}) {
                Ok(dones) => match dones.into_iter().next() {
                    Some(Done::Failed { message, .. }) => {
                        return Err(Lost { unreachable: false, message, help: vec![] });
                    }
                    _ => return Ok(()),
                },
                Err(error) => error.to_string(),
            };
            if Instant::now() >= until {
                return Err(Lost {
                    unreachable: true,
                    message: format!(
                        "no new connection within {} s after the change, so the node puts it back by itself: {why}",
                        self.seconds
                    ),
                    help: vec![],
                });
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}
