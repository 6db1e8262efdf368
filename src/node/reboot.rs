//! `Reboot`: the order goes out, the connection goes, a new one shows another boot id.

use std::time::{Duration, Instant};

use super::conversation::Node;
use super::quote::{quote, quote_all};
use super::shell::Section;
use super::{Conversation, Done, Identity, NodeError, Transport};
use crate::world::Output;

/// What `Action::Reboot` holds.
pub(super) struct Order<'a> {
    pub command: Option<&'a str>,
    pub delay: u64,
    pub timeout: u64,
    pub message: &'a str,
}

fn failed(message: String) -> Done {
    Done::Failed { message, output: Output { rc: 1, ..Output::default() } }
}

impl Node {
    /// `stdout` of the outcome: seconds it took.
    pub(super) fn reboot(&mut self, identity: &Identity, order: &Order) -> Result<Done, NodeError> {
        if self.transport_kind() == Transport::Local {
            return Ok(failed("the control machine cannot reboot itself and go on".into()));
        }
        let began = Instant::now();
        let limit = Duration::from_secs(if order.timeout == 0 { 600 } else { order.timeout });
        let before = self.hello(identity)?.boot_id;
        if before.is_empty() {
            return Ok(failed("the node tells no boot id (/proc/sys/kernel/random/boot_id)".into()));
        }
        let default = format!(
            "PATH=$PATH:/usr/sbin:/sbin; if command -v shutdown >/dev/null 2>&1; then exec shutdown -r now {}; elif command -v systemctl >/dev/null 2>&1; then exec systemctl reboot; else exec reboot; fi",
            quote(order.message)
        );
        let command = quote_all(["/bin/sh", "-c", order.command.unwrap_or(&default)]);
        // A moment at least, so that the reply is on its way before the network goes.
        let delay = if order.delay == 0 { "0.3".to_owned() } else { order.delay.to_string() };
        self.short(identity, &format!("kd_reboot {delay} {command}; kd_end z $P"))?;
        // Until the connection goes: did the command fail?
        loop {
            if began.elapsed() > limit + Duration::from_secs(order.delay) {
                return Ok(failed(format!("the node did not go down within {} s", limit.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(300));
            let patience = Duration::from_secs(5);
            let script = "if [ -f \"$D/rb\" ]; then cat \"$D/rb\"; fi; kd_end rb; kd_end z $P";
            let Ok(sections) = self.short_within(identity, script, Some(patience)) else { break };
            let said = sections.first().map(|s| String::from_utf8_lossy(&s.body).trim().to_owned()).unwrap_or_default();
            if !said.is_empty() {
                let (rc, words) = said.split_once(' ').unwrap_or((&said, ""));
                // The end of the session by the reboot itself is no failure.
                if rc.parse::<i32>().is_ok_and(|rc| rc < 128) {
                    return Ok(failed(format!("the reboot command exited with {rc}: {}", words.trim())));
                }
            }
        }
        self.disconnect();
        let mut last = String::new();
        while began.elapsed() < limit + Duration::from_secs(order.delay) {
            match self.hello(identity) {
                Ok(hello) if hello.boot_id != before && !hello.boot_id.is_empty() => {
                    let output =
                        Output { stdout: format!("{}", began.elapsed().as_secs()).into_bytes(), ..Output::default() };
                    return Ok(Done::Ok(output));
                }
                // Still the old system, on its way down.
                Ok(_) => self.disconnect(),
                Err(error) => {
                    last = error.to_string();
                    self.disconnect();
                }
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(failed(format!("the node did not come back within {} s after the reboot: {last}", limit.as_secs())))
    }

    fn short(&mut self, identity: &Identity, script: &str) -> Result<Vec<Section>, NodeError> {
        self.short_within(identity, script, None)
    }
}
