//! The bundled roles say the same thing in three places: defaults, argument_specs and README; and what they keep as data is whole.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

const ROLES: &[&str] = &[
    "cni",
    "compatibility",
    "containerd",
    "docker",
    "harden_linux",
    "kubernetes_worker",
    "releases",
    "runc",
    "worker_migration",
];

fn roles() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("roles")
}

fn yaml(path: &str) -> Value {
    let text = std::fs::read_to_string(roles().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_yaml::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn keys(map: &Value) -> BTreeSet<String> {
    map.as_object().expect("a mapping").keys().cloned().collect()
}

/// The variables that stand in the first column of a README's table.
fn told(role: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(roles().join(role).join("README.md")).expect("a README");
    let rows = text.lines().skip_while(|l| !l.starts_with("| variable |")).skip(2).take_while(|l| l.starts_with('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_role_of_the_repository_is_looked_at() {
    let entries = std::fs::read_dir(roles()).expect("the folder of the roles");
    let found: BTreeSet<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, ROLES.iter().map(|&r| r.to_owned()).collect());
}

#[test]
fn every_variable_stands_in_defaults_argument_specs_and_readme() {
    for role in ROLES {
        let defaults = yaml(&format!("{role}/defaults/main.yml"));
        let specs = yaml(&format!("{role}/meta/argument_specs.yml"));
        let options = &specs["argument_specs"]["main"]["options"];
        assert_eq!(keys(options), keys(&defaults), "{role}: argument_specs and defaults");
        assert_eq!(told(role), keys(&defaults), "{role}: README and defaults");
        for (name, option) in options.as_object().unwrap() {
            assert!(
                option["description"].as_str().is_some_and(|d| d.ends_with('.')),
                "{role}: {name} is not described"
            );
            let value = &defaults[name];
            let is_template = value.as_str().is_some_and(|text| text.contains("{{"));
            let kind = option["type"].as_str().expect("a type");
            let fits = match kind {
                "str" | "path" => value.is_string(),
                "int" => value.is_i64() || is_template,
                "bool" => value.is_boolean() || is_template,
                "list" => (value.is_array() || is_template) && option["elements"].is_string(),
                "dict" => value.is_object() || is_template,
                other => panic!("{role}: {name}: {other}"),
            };
            assert!(fits, "{role}: {name} is {value}, not of type {kind}");
            if !is_template && !value.is_array() && !value.is_object() {
                assert_eq!(&option["default"], value, "{role}: {name}: the default");
            }
            if let Some(choices) = option["choices"].as_array() {
                let given: Vec<&Value> = value.as_array().map_or(vec![value], |list| list.iter().collect());
                assert!(
                    is_template || given.iter().all(|v| choices.contains(v)),
                    "{role}: {name}: {value} is none of its choices"
                );
            }
        }
    }
}

#[test]
fn every_pinned_release_has_a_sum_for_each_architecture() {
    let releases = yaml("releases/defaults/main.yml");
    let mut count = 0;
    for (project, versions) in releases["releases_checksums"].as_object().unwrap() {
        for (version, sums) in versions.as_object().unwrap() {
            assert_eq!(keys(sums), ["amd64", "arm64"].map(str::to_owned).into(), "{project} {version}");
            let (one, other) = (sums["amd64"].as_str().unwrap(), sums["arm64"].as_str().unwrap());
            assert_ne!(one, other, "{project} {version}: the same sum for both architectures");
            for sum in [one, other] {
                let (algorithm, hex) = sum.split_once(':').expect("algorithm:HEX");
                let length = if algorithm == "sha256" { 64 } else { 128 };
                assert!(matches!(algorithm, "sha256" | "sha512"), "{project} {version}: {sum}");
                assert!(
                    hex.len() == length && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)),
                    "{project} {version}: {sum}"
                );
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count} sums");
    // The default versions of what every worker gets are among them.
    for project in ["containerd", "runc", "cni"] {
        let version = releases["releases_versions"][project].as_str().unwrap();
        assert!(releases["releases_checksums"][project][version].is_object(), "{project} {version} is not pinned");
    }
}

#[test]
fn versions_stand_in_one_place() {
    let releases = yaml("releases/defaults/main.yml");
    let versions: Vec<&str> =
        releases["releases_versions"].as_object().unwrap().values().map(|v| v.as_str().unwrap()).collect();
    for role in ROLES.iter().filter(|r| **r != "releases") {
        for file in ["defaults/main.yml", "meta/argument_specs.yml", "README.md"] {
            let text = std::fs::read_to_string(roles().join(role).join(file)).unwrap();
            for version in &versions {
                assert!(!text.contains(version), "roles/{role}/{file} has {version}: it is the role releases' to say");
            }
        }
    }
}

/// What each architecture downloads, and that its sums are its own.
#[test]
fn every_architecture_gets_its_own_files_and_sums() {
    let names = [
        "containerd_url",
        "containerd_checksum",
        "runc_url",
        "runc_checksum",
        "cni_url",
        "cni_checksum",
        "kubernetes_worker_binaries_url",
        "containerd_crictl_url",
        "containerd_nerdctl_url",
        "containerd_gvisor_url",
    ];
    let told = names.map(|n| format!("{{{{ {n} }}}}")).join(" ");
    let imports = ["cni", "containerd", "kubernetes_worker"]
        .map(|r| format!("    - import_role: {{name: {r}, tasks_from: defaults}}\n"))
        .concat();
    let site = format!(
        "- hosts: all\n  gather_facts: false\n  tasks:\n    - set_fact: {{architecture: \"{{{{ machine }}}}\", os_family: Debian, distribution: \"{{{{ system }}}}\", cacheable: true}}\n{imports}    \
         - include_role: {{name: runc, tasks_from: defaults, public: true}}\n    - debug: {{msg: \"{told}\"}}\n    \
         - debug: {{msg: \"{{{{ containerd_gvisor_checksums.runsc }}}} {{{{ kubernetes_worker_checksums.kubelet }}}}\"}}\n"
    );
    let bench = crate::Bench::new(&[("site.yml", &site)]);
    let hosts = "amd ansible_connection=local machine=x86_64 system=Debian\narm ansible_connection=local machine=aarch64 system=Ubuntu\n";
    bench.write("hosts", hosts);
    std::os::unix::fs::symlink(roles(), bench.path().join("roles")).expect("a link");
    let said =
        bench.run(&["apply", "site.yml", "--no-plan", "--output", "json", "-e", "kubernetes_worker_version=1.35.1"]);
    assert_eq!(said.rc, 0, "{}{}", said.out, said.err);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let texts = |host: &str| -> Vec<String> {
        let steps = report["steps"].as_array().unwrap().iter();
        let steps = steps.filter(|s| s["host"] == host && s["action"] == "debug");
        steps
            .flat_map(|s| s["result"]["msg"].as_str().unwrap().split(' ').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    };
    let releases = yaml("releases/defaults/main.yml");
    let sum = |project: &str, version: &str, architecture: &str| {
        releases["releases_checksums"][project][version][architecture].as_str().unwrap().to_owned()
    };
    for (host, ours, theirs) in [("amd", "amd64", "x86_64"), ("arm", "arm64", "aarch64")] {
        let github = "https://github.com";
        let wanted = [
            format!("{github}/containerd/containerd/releases/download/v2.3.4/containerd-2.3.4-linux-{ours}.tar.gz"),
            sum("containerd", "2.3.4", ours),
            format!("{github}/opencontainers/runc/releases/download/v1.4.3/runc.{ours}"),
            sum("runc", "1.4.3", ours),
            format!(
                "{github}/containernetworking/plugins/releases/download/v1.9.1/cni-plugins-linux-{ours}-v1.9.1.tgz"
            ),
            sum("cni", "1.9.1", ours),
            format!("https://dl.k8s.io/release/v1.35.1/bin/linux/{ours}"),
            format!("{github}/kubernetes-sigs/cri-tools/releases/download/v1.36.0/crictl-v1.36.0-linux-{ours}.tar.gz"),
            format!("{github}/containerd/nerdctl/releases/download/v2.3.5/nerdctl-2.3.5-linux-{ours}.tar.gz"),
            format!("https://storage.googleapis.com/gvisor/releases/release/20260817.0/{theirs}"),
            sum("runsc", "20260817.0", ours),
            sum("kubelet", "1.35.1", ours),
        ];
        assert_eq!(texts(host), wanted, "{host}");
    }
}
