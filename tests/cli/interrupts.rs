//! A run is ended by one signal, whatever it is at.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Bench;

fn start(bench: &Bench, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_kdeploy"))
        .args(args)
        .current_dir(bench.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", bench.path())
        .env("USER", "tester")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("kdeploy starts")
}

/// Sends a signal once, when `begun` has come to be, and waits for the end.
fn interrupted(mut run: Child, bench: &Bench, signal: &str) -> i32 {
    let until = |seconds| Instant::now() + Duration::from_secs(seconds);
    let end = until(60);
    while !bench.path().join("begun").exists() {
        assert!(run.try_wait().expect("waited").is_none(), "it ended by itself");
        assert!(Instant::now() < end, "it did not begin");
        std::thread::sleep(Duration::from_millis(50));
    }
    let sent = Command::new("kill").args([signal, &run.id().to_string()]).status();
    assert!(sent.expect("kill").success());
    let end = until(30);
    loop {
        if let Some(status) = run.try_wait().expect("waited") {
            return status.code().unwrap_or(-1);
        }
        if Instant::now() > end {
            run.kill().expect("killed");
            panic!("one {signal} did not end it");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

const ENDLESS: &str = "- hosts: web
  gather_facts: false
  tasks:
    - shell: touch '{{ playbook_dir }}/begun'
      register: r
    - debug: {msg: \"{% if r.rc == 0 %}{{ after }}{% endif %}\"}
    - command: touch never
  vars:
    rounds: \"{% for i in range(1000) %}{{ lookup('pipe', 'sleep 0.1; echo ' ~ i) }}{% endfor %}\"
    after: \"{% for i in range(1000) %}{{ rounds ~ i }}{% endfor %}\"
";

#[test]
fn one_signal_ends_a_template_without_end() {
    for (name, signal, rc) in [("kdeploy", "-TERM", 130), ("kdeploy", "-INT", 130)] {
        let bench = Bench::new(&[("site.yml", ENDLESS)]);
        let run = start(&bench, &["apply", "--no-plan"]);
        assert_eq!(interrupted(run, &bench, signal), rc, "{name} {signal}");
        assert!(!bench.path().join("never").exists());
    }
}
