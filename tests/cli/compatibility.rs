//! The table of what goes with what: pairs of versions, and which of the role's checks do not hold for them, with the reason.

use crate::Bench;

struct Case {
    /// Kubernetes, containerd, runc, CNI plugins.
    versions: [&'static str; 4],
    /// What `containerd --version` says on the node; the file system of its cgroups.
    found: (&'static str, &'static str),
    fails: &'static [&'static str],
}

const fn case(
    versions: [&'static str; 4],
    found: (&'static str, &'static str),
    fails: &'static [&'static str],
) -> Case {
    Case { versions, found, fails }
}

const V2: &str = "cgroup2fs";

/// Who manages the cgroups, by kubelet and by containerd, and what does not hold.
const DRIVERS: &[(&str, bool, &str)] = &[
    ("systemd", true, ""),
    ("cgroupfs", false, ""),
    ("systemd", false, "cgroup-driver"),
    ("cgroupfs", true, "cgroup-driver"),
];

const CASES: &[Case] = &[
    // The defaults, on a node without containerd.
    case(["1.36.4", "2.3.4", "1.4.3", "1.9.1"], ("", V2), &[]),
    // Each line of the support matrix at its least patch, and one below it.
    case(["1.33.0", "1.7.24", "1.1.14", "1.5.1"], ("", V2), &[]),
    case(["1.33.0", "1.7.23", "1.1.14", "1.5.1"], ("", V2), &["containerd-kubernetes"]),
    case(["1.33.0", "2.0.4", "1.2.4", "1.5.1"], ("", V2), &[]),
    case(["1.33.0", "2.0.3", "1.2.4", "1.5.1"], ("", V2), &["containerd-kubernetes"]),
    case(["1.34.0", "2.1.3", "1.3.0", "1.7.1"], ("", V2), &[]),
    case(["1.34.0", "2.1.2", "1.3.0", "1.7.1"], ("", V2), &["containerd-kubernetes"]),
    case(["1.35.0", "2.1.5", "1.3.3", "1.8.0"], ("", V2), &[]),
    case(["1.35.0", "1.7.27", "1.3.3", "1.8.0"], ("", V2), &["containerd-kubernetes"]),
    case(["1.36.0", "2.2.0", "1.3.3", "1.9.0"], ("", V2), &[]),
    case(["1.36.0", "1.7.30", "1.4.0", "1.9.0"], ("", V2), &["containerd-kubernetes"]),
    // A newer line than the table knows is taken to do.
    case(["1.36.0", "2.4.1", "1.5.1", "1.9.1"], ("", V2), &[]),
    // Kubernetes older than the matrix: what counts is CRI.
    case(["1.20.2", "1.6.20", "1.1.5", "1.1.1"], ("", "tmpfs"), &[]),
    case(["1.20.2", "2.1.9", "1.3.6", "1.9.1"], ("", V2), &["cri"]),
    case(["1.26.0", "1.5.9", "1.1.5", "1.1.1"], ("", V2), &["cri"]),
    case(["1.26.0", "1.6.20", "1.1.5", "1.1.1"], ("", V2), &[]),
    // runc older than what the line is released with; CNI plugins before 1.0.
    case(["1.36.4", "2.3.4", "1.3.9", "1.9.1"], ("", V2), &["runc-containerd"]),
    case(["1.36.4", "2.3.4", "1.4.3", "0.9.1"], ("", V2), &["cni"]),
    // cgroup v1: from 1.35 on kubelet does not start there.
    case(["1.34.3", "2.2.1", "1.3.4", "1.9.0"], ("", "tmpfs"), &[]),
    case(["1.35.1", "2.2.1", "1.3.4", "1.9.0"], ("", "tmpfs"), &["cgroup"]),
    // From the installed containerd: the next line, the same, back one; not two at once, but for 1.7 to 2.3.
    case(["1.34.3", "2.2.1", "1.3.4", "1.9.0"], ("v2.1.6", V2), &[]),
    case(["1.34.3", "2.2.1", "1.3.4", "1.9.0"], ("v2.0.7", V2), &["upgrade"]),
    case(["1.36.4", "2.3.4", "1.4.3", "1.9.1"], ("v1.7.30", V2), &[]),
    case(["1.36.4", "2.3.4", "1.4.3", "1.9.1"], ("1.6.20~ds1", V2), &["upgrade"]),
    case(["1.36.4", "2.3.4", "1.4.3", "1.9.1"], ("v2.3.4", V2), &[]),
    // Several at once.
    case(
        ["1.36.4", "1.6.20", "1.0.3", "0.9.1"],
        ("v2.3.4", "tmpfs"),
        &["cgroup", "cni", "containerd-kubernetes", "runc-containerd", "upgrade"],
    ),
];

#[test]
fn every_pair_of_the_table_has_its_answer() {
    let mut site = "- hosts: one\n  gather_facts: false\n  tasks:\n    - import_role: {name: compatibility, tasks_from: defaults}\n".to_owned();
    for (n, case) in CASES.iter().enumerate() {
        let [kubernetes, containerd, runc, cni] = case.versions;
        let (installed, cgroup) = case.found;
        site += &format!(
            r#"    - name: case {n}
      debug: {{msg: "{{{{ compatibility_checks | rejectattr('holds') | map(attribute='name') | sort | join(',') }}}}|{{{{ compatibility_checks | rejectattr('holds') | map(attribute='reason') | join('%') }}}}"}}
      vars:
        compatibility_kubernetes: "{kubernetes}"
        compatibility_containerd: "{containerd}"
        compatibility_runc: "{runc}"
        compatibility_cni: "{cni}"
        compatibility_cgroup: {{stdout: {cgroup}}}
        compatibility_installed: {{stdout: "{text}"}}
"#,
            text = if installed.is_empty() {
                String::new()
            } else {
                format!("containerd github.com/containerd/containerd {installed} 1a2b3c")
            },
        );
    }
    for (driver, systemd, _) in DRIVERS {
        site += &format!(
            r#"    - name: driver {driver} {systemd}
      debug: {{msg: "{{{{ compatibility_checks | rejectattr('holds') | map(attribute='name') | join(',') }}}}"}}
      vars: {{compatibility_kubernetes: "1.36.4", compatibility_containerd: "2.3.4", compatibility_cgroup_driver: {driver}, compatibility_systemd_cgroup: {systemd},
        compatibility_cgroup: {{stdout: cgroup2fs}}, compatibility_installed: {{stdout: ""}}}}
"#
        );
    }
    let bench = Bench::new(&[("site.yml", &site)]);
    let roles = format!("{}/roles", env!("CARGO_MANIFEST_DIR"));
    std::os::unix::fs::symlink(roles, bench.path().join("roles")).expect("a link");
    let said = bench.run(&["apply", "site.yml", "--no-plan", "--output", "json"]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    let report: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let steps: Vec<&serde_json::Value> =
        report["steps"].as_array().unwrap().iter().filter(|s| s["action"] == "debug").collect();
    assert_eq!(steps.len(), CASES.len() + DRIVERS.len());
    for ((driver, systemd, fails), step) in DRIVERS.iter().zip(&steps[CASES.len()..]) {
        assert_eq!(step["result"]["msg"], *fails, "{driver} {systemd}");
    }
    for (case, step) in CASES.iter().zip(steps) {
        let text = step["result"]["msg"].as_str().unwrap_or_else(|| panic!("{step:#}"));
        let (names, reasons) = text.split_once('|').unwrap();
        assert_eq!(names, case.fails.join(","), "{:?} on {:?}: {reasons}", case.versions, case.found);
        assert_eq!(
            reasons.split('%').filter(|r| r.len() > 20).count(),
            case.fails.len(),
            "a reason for each: {reasons}"
        );
    }
}
