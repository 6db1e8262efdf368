//! The same cases on a node that has busybox and nothing else: what Ansible does by Python, kdeploy does there by busybox's tools.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use super::{Node, cases, in_dir, is_root, prepare, snapshot};

/// A folder with a link for each of busybox's applets.
fn tools(dir: &Path) -> String {
    std::fs::create_dir_all(dir).unwrap();
    let done = Command::new("/bin/busybox").args(["--install", "-s"]).arg(dir).status();
    assert!(done.unwrap().success());
    dir.display().to_string()
}

fn program(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

/// A shell that finds busybox's tools only; `None`: no busybox on this machine.
pub fn shell() -> Option<String> {
    static SHELL: OnceLock<Option<(tempfile::TempDir, String)>> = OnceLock::new();
    let made = SHELL.get_or_init(|| {
        if !Path::new("/bin/busybox").exists() {
            eprintln!("skipped: no /bin/busybox (package busybox-static)");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let tools = tools(&dir.path().join("tools"));
        let text = format!("#!/bin/sh\nexec env -i PATH={tools} HOME=/root {tools}/sh \"$@\"\n");
        let shell = program(&dir.path().join("sh"), &text);
        Some((dir, shell))
    });
    made.as_ref().map(|(_, shell)| shell.clone())
}

#[test]
fn busybox_does_what_the_system_does() {
    let Some(shell) = shell() else { return };
    let temp = tempfile::tempdir().unwrap();
    let (mut system, mut busybox) = (Node::new(), Node::with_shell(Some(shell)));
    let (mut wrong, mut count) = (vec![], 0);
    for (module, cases) in cases() {
        for (name, case) in cases {
            if !is_root() && format!("{:?}", case.args).contains("owner") {
                continue;
            }
            count += 1;
            let label = format!("{module}/{name}");
            let mut sides = vec![];
            // Names of one length: both are in some results.
            for (side, node) in [("a", &mut system), ("b", &mut busybox)] {
                let dir = temp.path().join(side).join(&module).join(&name);
                prepare(&dir, &case.setup);
                let args = in_dir(&case.args, &dir.display().to_string());
                let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    let ran = node.run(&module, &args);
                    let again = (ran.status == "changed").then(|| node.run(&module, &args).status);
                    (ran.status, again)
                }));
                let ran = ran.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default());
                // Random letters; git's own files, which hold times.
                let left = |path: &String| !path.contains("ansible.") && !path.contains(".git/");
                let tree: BTreeMap<String, String> = snapshot(&dir).into_iter().filter(|(p, _)| left(p)).collect();
                sides.push((ran, tree));
            }
            let same = sides[0] == sides[1];
            match (&case.busybox, same) {
                (None, false) => {
                    wrong.push(format!("{label}: the system\n  {:?}\nbusybox\n  {:?}", sides[0], sides[1]))
                }
                (Some(why), true) => wrong.push(format!("{label}: is said to differ ({why}), but does not")),
                _ => {}
            }
        }
    }
    eprintln!("{count} cases by the system's tools and by busybox");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}
