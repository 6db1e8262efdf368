//! Runs that are cut off anywhere, and changes that lock the operator out: the next apply, or the node itself, makes it good.

use std::time::{Duration, Instant};

use crate::bed::{Bed, finished};

/// A service that shows which configuration it was started with; what it needs, in several steps.
const STEPS: [&str; 9] = [
    "copy:
        content: |
          [Service]
          ExecStart=/bin/sh -c 'cat /etc/some/conf >/run/some-seen; exec sleep 100000'
          [Install]
          WantedBy=multi-user.target
        dest: /etc/systemd/system/some.service
      notify: restart some",
    "file: {path: /etc/some, state: directory}",
    "user: {name: some, system: true}",
    "copy: {content: '{{ text }}', dest: /etc/some/conf, owner: some}
      notify: restart some",
    "lineinfile: {path: /etc/hosts, regexp: ' some$', line: '10.0.0.{{ text }} some'}",
    "file: {src: 'conf', dest: '/etc/some/link', state: link}",
    "copy: {content: \"{{ 'x' * 300000 ~ text }}\", dest: /etc/some/big}",
    "cron: {name: some, user: some, job: /bin/true, hour: '{{ text | int % 24 }}', cron_file: some}",
    "systemd: {name: some.service, enabled: true, state: started, daemon_reload: true}",
];

/// The playbook of these steps, with something after one of them: 0 is before the first, one more than there are is before the handler.
fn service(after: usize, what: &str) -> String {
    let mut text = "- hosts: k8s_worker\n  gather_facts: false\n  tasks:\n".to_owned();
    for (i, step) in STEPS.iter().enumerate() {
        if i == after {
            text += what;
        }
        text += &format!("    - {step}\n");
    }
    if after == STEPS.len() {
        text += what;
    }
    text += "  handlers:\n";
    if after == STEPS.len() + 1 {
        text += &what.replace("    - ", "    - listen: restart some\n      ");
    }
    text + "    - name: restart some\n      systemd: {name: some.service, state: restarted, daemon_reload: true}\n"
}

/// Changes nothing and takes its time: something to be cut off in.
const SLEEP: &str = "    - command: {cmd: sleep 60}\n      changed_when: false\n";

/// What an undisturbed apply leaves; times, kdeploy's own state and process numbers aside.
const STATE: &str = "cat /etc/some/conf; echo; grep some /etc/hosts; cat /run/some-seen; echo; readlink /etc/some/link; \
    head -c 300000 /etc/some/big | sha256sum; tail -c +300001 /etc/some/big; echo; getent passwd some; cat /etc/cron.d/some; \
    systemctl is-active some; systemctl is-enabled some; systemctl show -p NeedDaemonReload some; ls -A /etc/some; \
    find /etc /srv /home -name '.kdeploy*'";

/// What goes away.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// The operator's machine.
    Kdeploy,
    Connection,
    /// The node: its init is killed.
    Node,
}

fn start(bed: &Bed, text: usize) -> std::process::Child {
    let text = format!("text={text}");
    bed.start(&["apply", "service.yml", "--no-plan", "-e", &text, "--timeout", "5"])
}

/// Cuts a run off and lets the next finish it: the ledger is whole, the state is that of an undisturbed apply. True if a handler was owed.
fn cut_off(bed: &Bed, cut: Cut, mut run: std::process::Child, playbook: &str, text: usize, expected: &str) -> bool {
    match cut {
        Cut::Kdeploy => {
            run.kill().unwrap();
            run.wait().unwrap();
        }
        Cut::Connection => {
            bed.lab("lab", &["exec", "worker99", "sh", "-c", "pkill -KILL -x sshd; systemctl restart ssh"]);
            finished(run);
        }
        Cut::Node => {
            bed.lab("lab", &["kill", "worker99"]);
            finished(run);
            bed.lab("lab", &["start", "worker99"]);
        }
    }
    // The command that was under way would be waited for.
    bed.on("worker99", "pkill -x -f 'sleep 60' || true");
    let history = bed.kdeploy(&["history", "worker99"]).ends_with(0);
    assert!(!history.text().contains("damaged"), "{}", history.text());
    bed.write("service.yml", playbook);
    let next = finished(start(bed, text)).ends_with(0);
    let hour = |text: usize| format!("* {} * * * some", text % 24);
    let wanted = expected
        .replace("10.0.0.0 some", &format!("10.0.0.{text} some"))
        .replace(&hour(0), &hour(text))
        .lines()
        .map(|line| if line == "0" { text.to_string() } else { line.to_owned() })
        .collect::<Vec<_>>();
    assert_eq!(
        bed.on("worker99", STATE).lines().collect::<Vec<_>>(),
        wanted,
        "cut {text}: {cut:?}\n{}\n{}",
        next.stdout,
        next.stderr
    );
    next.text().contains("owed since run")
}

/// The lab's node after an undisturbed apply, and how long that took.
fn undisturbed() -> (Bed, String, Duration) {
    let bed = Bed::worker99();
    bed.write("service.yml", &service(99, ""));
    let begin = Instant::now();
    finished(start(&bed, 0)).ends_with(0);
    let whole = begin.elapsed();
    let expected = bed.on("worker99", STATE);
    assert!(expected.contains("active\nenabled\nNeedDaemonReload=no"), "{expected}");
    (bed, expected, whole)
}

/// After every step, and before the handler, something goes away.
fn cut_off_at_every_step(cut: Cut) {
    let (bed, expected, _) = undisturbed();
    let mut owed = 0;
    let places = STEPS.len() + 2;
    for after in 0..places {
        let text = after + 1;
        bed.write("service.yml", &service(after, SLEEP));
        let run = start(&bed, text);
        bed.wait_for("worker99", "pgrep -x -f 'sleep 60'");
        let told = cut_off(&bed, cut, run, &service(99, ""), text, &expected);
        println!("{cut:?} after step {after}: the restart was {}", if told { "owed" } else { "not owed" });
        owed += usize::from(told);
    }
    // The unit changed the first time only, the configuration always: after its step the restart is owed.
    assert!(owed >= places - 4, "the restart was owed after {owed} of {places} cuts only");
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn kdeploy_is_killed_at_every_step() {
    cut_off_at_every_step(Cut::Kdeploy);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn the_connection_is_cut_at_every_step() {
    cut_off_at_every_step(Cut::Connection);
}

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn the_node_goes_down_at_every_step() {
    cut_off_at_every_step(Cut::Node);
}

/// At any moment, within steps too.
#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_run_cut_off_at_any_moment_is_finished_by_the_next() {
    let (bed, expected, whole) = undisturbed();
    let mut owed = 0;
    for text in 1..=9u32 {
        let run = start(&bed, text as usize);
        std::thread::sleep(whole * text / 9);
        let cut = [Cut::Kdeploy, Cut::Connection, Cut::Node][(text % 3) as usize];
        owed += usize::from(cut_off(&bed, cut, run, &service(99, ""), text as usize, &expected));
    }
    println!("{owed} of 9 cuts left a handler owed");
}

const LOCKOUT: &str = "
- hosts: k8s_worker
  gather_facts: false
  tasks:
    - name: sshd
      confirm: 12
      block:
        - copy: {content: \"{{ line }}\\n\", dest: /etc/ssh/sshd_config.d/99-test.conf}
          notify: restart sshd
        - lineinfile: {path: /etc/hosts, line: 10.0.0.9 confirmed}
  handlers:
    - name: restart sshd
      systemd: {name: ssh.service, state: restarted}
";

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_change_that_locks_out_is_put_back() {
    let bed = Bed::worker99();
    bed.write("lockout.yml", LOCKOUT);
    let good = ["apply", "lockout.yml", "-e", "line='MaxAuthTries 5'"];
    bed.kdeploy(&good).ends_with(0);
    let left = "cat /etc/ssh/sshd_config.d/99-test.conf; grep -c confirmed /etc/hosts; ls /etc/systemd/system | grep kdeploy; ls -A /var/lib/kdeploy/confirm; true";
    assert_eq!(bed.on("worker99", left), "MaxAuthTries 5\n1\n");

    // sshd listens where nobody can reach it.
    bed.on("worker99", "sed -i /confirmed/d /etc/hosts");
    let bad = ["apply", "lockout.yml", "--timeout", "2", "-e", "line='ListenAddress 127.0.0.1'"];
    bed.kdeploy(&bad).ends_with(4).says("puts it back");
    let back = |bed: &Bed| {
        let until = Instant::now() + Duration::from_secs(60);
        let shell = "cat /etc/ssh/sshd_config.d/99-test.conf; grep -c confirmed /etc/hosts; ls /etc/systemd/system | grep kdeploy; ss -Hltn 'sport = :22' | grep -c 0.0.0.0:22";
        loop {
            let now = bed.lab("lab", &["exec", "worker99", "sh", "-c", &format!("{shell}; true")]);
            if now == "MaxAuthTries 5\n0\n1\n" {
                break;
            }
            assert!(Instant::now() < until, "{now}");
            std::thread::sleep(Duration::from_millis(500));
        }
    };
    back(&bed);
    bed.kdeploy(&["plan", "lockout.yml", "-e", "line='MaxAuthTries 5'"]).ends_with(0);

    // Also if the node goes down meanwhile.
    let run = bed.start(&bad);
    bed.lab(
        "lab",
        &[
            "exec",
            "worker99",
            "sh",
            "-c",
            "n=0; while ss -Hltn 'sport = :22' | grep -q 0.0.0.0:22; do n=$((n+1)); [ $n -lt 300 ] || exit 1; sleep 0.1; done; sleep 1",
        ],
    );
    bed.lab("lab", &["kill", "worker99"]);
    bed.lab("lab", &["start", "worker99"]);
    finished(run).ends_with(4);
    back(&bed);
}
