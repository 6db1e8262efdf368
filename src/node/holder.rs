//! Who holds a node's lock, and whether that run still lives.

use std::fs;

/// The shell on a node that holds its lock, as the node tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The run's own words: who, since when, from where.
    pub who: String,
    /// The run's process on its control machine, as [`place`] wrote it; empty if an older kdeploy took the lock.
    pub place: String,
    /// The shell's process on the node.
    pub process: u32,
    /// When that process started, in the kernel's words: process numbers come again.
    pub started: String,
    /// What it runs at the moment, as command lines.
    pub running: Vec<String>,
}

impl Holder {
    /// Reads what `kd_lock` printed.
    pub(super) fn parse(text: &str) -> Self {
        let mut lines = text.lines().map(str::to_owned);
        let mut next = || lines.next().unwrap_or_default();
        let (who, place, shell) = (next(), next(), next());
        let (process, started) = shell.split_once(' ').unwrap_or_default();
        Self {
            who,
            place,
            process: process.parse().unwrap_or_default(),
            started: started.to_owned(),
            running: lines.map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect(),
        }
    }

    /// The same shell, whatever it runs.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.process, &self.started) == (other.process, &other.started)
    }

    /// True if the run that took the lock is certainly no more: it was a process of this machine that has ended, or the machine was
    /// started again since. Its connection is then gone, even where the node has not noticed yet. False if that cannot be told.
    pub fn is_gone(&self) -> bool {
        is_gone(&self.place, &Seen::now())
    }
}

/// This process, so that others of this machine can tell whether it still lives: the machine, its start, the space of process numbers,
/// the process and its start.
pub fn place() -> String {
    let pid = std::process::id();
    let Seen { machine, boot, space } = Seen::now();
    format!("{machine} {boot} {space} {pid} {}", started(pid).unwrap_or_else(|| "?".into()))
}

/// What tells one machine, one start of it and one space of process numbers from others.
#[derive(Debug, Clone, Default)]
struct Seen {
    machine: String,
    boot: String,
    space: String,
}

impl Seen {
    fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().replace(' ', "-");
        let space = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
        // Copied machines and containers share their id more often than their name, too.
        let machine = format!("{}/{}", read("/etc/machine-id"), read("/proc/sys/kernel/hostname"));
        Self { machine, boot: read("/proc/sys/kernel/random/boot_id"), space }
    }
}

/// When a process started, in ticks since the machine did; none if there is no such process, or it is over and only not yet reaped.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let rest = stat.rsplit_once(") ")?.1;
    let mut fields = rest.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

fn is_gone(place: &str, here: &Seen) -> bool {
    let fields: Vec<&str> = place.split(' ').collect();
    let [machine, boot, space, pid, start] = fields[..] else { return false };
    if here.boot.is_empty() || here.space.is_empty() || start == "?" {
        return false;
    }
    if boot != here.boot {
        return machine == here.machine && !machine.starts_with('/') && space == here.space;
    }
    space == here.space && pid.parse().is_ok_and(|pid| started(pid).as_deref() != Some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_gone_and_an_ended_one_is() {
        assert!(!is_gone(&place(), &Seen::now()));
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let Seen { machine, boot, space } = Seen::now();
        let there = format!("{machine} {boot} {space} {} {}", child.id(), started(child.id()).expect("it runs"));
        assert!(!is_gone(&there, &Seen::now()));
        child.kill().expect("it is ours");
        child.wait().expect("it ends");
        assert!(is_gone(&there, &Seen::now()));
        // The same number, started at another time, is another process.
        let own = format!("{machine} {boot} {space} {} 1", std::process::id());
        assert!(is_gone(&own, &Seen::now()));
    }

    #[test]
    fn what_cannot_be_told_is_not_gone() {
        let here = Seen { machine: "m/vm".into(), boot: "b2".into(), space: "pid:[1]".into() };
        for place in [
            "",
            "m/vm b2",
            "other/vm b1 pid:[1] 4 5",
            "m/vm b1 pid:[2] 4 5",
            "m/vm b2 pid:[2] 4 5",
            "/vm b1 pid:[1] 4 5",
        ] {
            assert!(!is_gone(place, &here), "{place}");
        }
        assert!(is_gone("m/vm b1 pid:[1] 4 5", &here), "the machine was started again");
    }

    #[test]
    fn the_nodes_answer_is_read() {
        let told = "kdeploy apply\nm b s 1 2\n812 4711\nsleep 300 \n\n";
        let holder = Holder::parse(told);
        assert_eq!(
            (&*holder.who, &*holder.place, holder.process, &*holder.started),
            ("kdeploy apply", "m b s 1 2", 812, "4711")
        );
        assert_eq!(holder.running, ["sleep 300"]);
        assert_eq!(Holder::parse("an older one").who, "an older one");
    }
}
