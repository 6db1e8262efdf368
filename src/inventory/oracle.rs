//! The same inventories read by ansible-core and by kdeploy. Skipped where ansible-core is not installed: it is looked for in
//! $KDEPLOY_ANSIBLE (the folder of its programs), then in $PATH.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use super::{Inventory, LoadOptions, ShowOptions, pretty};

fn program(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("KDEPLOY_ANSIBLE").map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    given.into_iter().chain(std::env::split_paths(&path)).map(|dir| dir.join(name)).find(|p| p.is_file())
}

fn run(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program)
        .args(args)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .env("ANSIBLE_NOCOLOR", "1")
        .env("ANSIBLE_DEPRECATION_WARNINGS", "0")
        .env("PYTHONWARNINGS", "ignore")
        .output()
        .expect("runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn cases() -> Vec<(&'static str, PathBuf)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inventory");
    ["ini/hosts.ini", "yaml/hosts.yml", "mixed/hosts", "script/hosts", "constructed/hosts"]
        .iter()
        .map(|n| (*n, dir.join(n)))
        .collect()
}

#[test]
fn inventories_are_listed_as_ansible_lists_them() {
    let Some(ansible) = program("ansible-inventory") else { return };
    for (name, path) in cases() {
        let source = path.display().to_string();
        let (inventory, _) = Inventory::load(std::slice::from_ref(&source), &LoadOptions::default())
            .unwrap_or_else(|p| panic!("{name}: {p}"));
        for export in [false, true] {
            let mut args = vec!["-i", &source, "--list"];
            args.extend(export.then_some("--export"));
            let theirs: Json = serde_json::from_str(&run(&ansible, &args)).unwrap_or_else(|e| panic!("{name}: {e}"));
            let ours = inventory
                .list_json(&ShowOptions { export, ..ShowOptions::default() })
                .unwrap_or_else(|p| panic!("{name}: {p}"));
            let (ours, theirs) = (pretty(&ours), pretty(&theirs));
            assert!(
                ours == theirs,
                "{name} export={export}:\n{}",
                similar::TextDiff::from_lines(&theirs, &ours).unified_diff()
            );
        }
        let theirs = run(&ansible, &["-i", &source, "--graph", "--vars"]);
        let ours = inventory.graph("all", true, &ShowOptions::default()).unwrap_or_else(|p| panic!("{name}: {p}"));
        assert!(
            ours.trim() == theirs.trim(),
            "{name}:\n{}",
            similar::TextDiff::from_lines(theirs.trim(), ours.trim()).unified_diff()
        );
    }
}

#[test]
fn patterns_select_the_same_hosts() {
    let Some(ansible) = program("ansible") else { return };
    let patterns = [
        // Where a group has several parents Ansible's own order of `all` differs from run to run.
        ("mixed/hosts", "staging:web"),
        ("mixed/hosts", "prod:&staging,web[0]"),
        ("mixed/hosts", "prod:!db"),
        ("mixed/hosts", "web[1:2]:db[-1]"),
        ("mixed/hosts", "~(web|db)0?[12]"),
        ("mixed/hosts", "*2,!web*"),
        ("yaml/hosts.yml", "web:db:!replica"),
        ("yaml/hosts.yml", "!web"),
        ("yaml/hosts.yml", "edge-?.example.org:pair*"),
    ];
    for (name, pattern) in patterns {
        let (_, path) = cases().into_iter().find(|(n, _)| *n == name).expect("a case");
        let source = path.display().to_string();
        let theirs = run(&ansible, &["-i", &source, pattern, "--list-hosts"]);
        let theirs: Vec<&str> = theirs.lines().skip(1).map(str::trim).collect();
        let (inventory, _) =
            Inventory::load(&[source], &LoadOptions::default()).unwrap_or_else(|p| panic!("{name}: {p}"));
        assert_eq!(inventory.matching(pattern).expect(pattern).hosts, theirs, "{name} {pattern}");
    }
}
