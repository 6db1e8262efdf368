//! The local transport: a child shell on the control machine (`connection: local`).

use std::path::Path;
use std::process::Command;

use super::NodeError;
use super::channel::{Channel, Transport};
use super::pipes::Pipes;

pub struct Local;

impl Transport for Local {
    fn open(&mut self, command: &str) -> Result<Box<dyn Channel>, NodeError> {
        // In a session of its own: no terminal that a program could read from, and no Ctrl-C in the middle of an action.
        let setsid = ["/usr/bin/setsid", "/bin/setsid"].into_iter().find(|p| Path::new(p).exists());
        let mut child = match setsid {
            Some(setsid) => {
                let mut c = Command::new(setsid);
                c.arg("/bin/sh");
                c
            }
            None => Command::new("/bin/sh"),
        };
        let pipes = Pipes::start(child.arg("-c").arg(command)).map_err(|e| NodeError::Unreachable {
            message: format!("cannot start `/bin/sh` on the control machine: {e}"),
            help: vec![],
        })?;
        Ok(Box::new(pipes))
    }

    fn disconnect(&mut self) {}

    fn describe(&self) -> String {
        "the control machine".to_owned()
    }

    fn user(&mut self) -> Option<String> {
        own_account()
    }
}

/// The name of the account this program runs as.
pub fn own_account() -> Option<String> {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}
