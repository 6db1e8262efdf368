//! Runs that are cut off anywhere, and changes that lock the operator out: the next apply, or the node itself, makes it good.

use std::time::{Duration, Instant};

use crate::bed::{Bed, finished};

/// A service that shows which configuration it was started with; what it needs, in several steps.
const SERVICE: &str = "
- hosts: k8s_worker
  gather_facts: false
  tasks:
    - name: unit
      copy:
        content: |
          [Service]
          ExecStart=/bin/sh -c 'cat /etc/some/conf >/run/some-seen; exec sleep 100000'
          [Install]
          WantedBy=multi-user.target
        dest: /etc/systemd/system/some.service
      notify: restart some
    - file: {path: /etc/some, state: directory}
    - user: {name: some, system: true}
    - copy: {content: '{{ text }}', dest: /etc/some/conf, owner: some}
      notify: restart some
    - command: {cmd: sleep 0.3}
      changed_when: false
    - lineinfile: {path: /etc/hosts, regexp: ' some$', line: '10.0.0.{{ text }} some'}
    - file: {src: 'conf', dest: '/etc/some/link', state: link}
    - copy: {content: \"{{ 'x' * 300000 ~ text }}\", dest: /etc/some/big}
    - command: {cmd: sleep 0.3}
      changed_when: false
    - systemd: {name: some.service, enabled: true, state: started, daemon_reload: true}
  handlers:
    - name: restart some
      systemd: {name: some.service, state: restarted, daemon_reload: true}
";

/// What an undisturbed apply leaves; times, kdeploy's own state and process numbers aside.
const STATE: &str = "cat /etc/some/conf /etc/hosts /run/some-seen; echo; readlink /etc/some/link; sha256sum /etc/some/big; getent passwd some; \
    systemctl is-active some; systemctl is-enabled some; systemctl show -p NeedDaemonReload some; ls -A /etc/some; \
    find /etc /srv /home -name '.kdeploy*'";

#[test]
#[ignore = "needs root and the lab: ./test lab"]
fn a_run_cut_off_at_any_moment_is_finished_by_the_next() {
    let bed = Bed::worker99();
    bed.write("service.yml", SERVICE);
    let apply = |text: &str| {
        vec![
            "apply".to_owned(),
            "service.yml".into(),
            "--no-plan".into(),
            "-e".into(),
            format!("text={text}"),
            "--timeout".into(),
            "5".into(),
        ]
    };
    let start = |text: &str| {
        let words = apply(text);
        bed.start(&words.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let begin = Instant::now();
    finished(start("0")).ends_with(0);
    let whole = begin.elapsed();
    let expected = bed.on("worker99", STATE);
    assert!(expected.contains("active\nenabled\nNeedDaemonReload=no"), "{expected}");
    let mut owed = 0;
    for cut in 1..=18u32 {
        let text = (cut % 250).to_string();
        let mut run = start(&text);
        std::thread::sleep(whole * cut / 18);
        match cut % 3 {
            0 => {
                // The operator's machine goes.
                run.kill().unwrap();
                run.wait().unwrap();
            }
            1 => {
                // The connection goes.
                bed.lab("lab", &["exec", "worker99", "sh", "-c", "pkill -KILL -x sshd; systemctl restart ssh"]);
                finished(run);
            }
            _ => {
                // The node goes.
                bed.lab("lab", &["kill", "worker99"]);
                finished(run);
                bed.lab("lab", &["start", "worker99"]);
            }
        }
        // The ledger is whole.
        let history = bed.kdeploy(&["history", "worker99"]).ends_with(0);
        assert!(!history.text().contains("damaged"), "cut {cut}: {}", history.text());
        let next = finished(start(&text));
        owed += usize::from(next.text().contains("owed since run"));
        let next = next.ends_with(0);
        let now = bed.on("worker99", STATE);
        let wanted = expected.replace("10.0.0.0 some", &format!("10.0.0.{text} some"));
        let strip =
            |state: &str| state.lines().filter(|l| !l.ends_with("/etc/some/big")).collect::<Vec<_>>().join("\n");
        let wanted = strip(&wanted).replacen('0', &text, 1);
        assert_eq!(
            strip(&now).replace(&format!("\n{text}\nconf"), "\n0\nconf"),
            wanted,
            "cut {cut}\n{}\n{}",
            next.stdout,
            next.stderr
        );
        assert_eq!(bed.on("worker99", "cat /run/some-seen"), text, "cut {cut}: it runs with an old configuration");
        let big = bed.on("worker99", "tail -c +300001 /etc/some/big");
        assert_eq!(big, text, "cut {cut}");
    }
    println!("{owed} of 18 cuts left a handler owed");
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
