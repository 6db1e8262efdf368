//! Every resource beside ansible-core's module of that name: the same state afterwards, the same status, the same result.
//!
//! `cases/NAME.yml` holds the cases of one module; all of them become one playbook per program, run in sandboxes of their own:
//!
//!     module: community.general.ini_file       # if it is not ansible.builtin.NAME
//!     needs: [setfacl]                         # programs
//!     leave: ^tmp/                             # paths that are not compared
//!     umask: "077"                             # of both programs; else 022
//!     cases:
//!       name_of_case:
//!         - echo old > $D/f                    # a text: done by hand
//!         - {path: $D/f, mode: "0600"}         # a mapping: arguments
//!
//! Arguments are run four times: with `check_mode`, in earnest, and both again. After a change by hand the last arguments are run once
//! more, with `check_mode` and in earnest. After each of these what is in the case's folder `$D` is compared, besides status and
//! result. `$F` is a folder with the files of `files/`, `$U` a web server for it. Arguments beginning with `_` steer:
//!
//!     _task: {environment: {A: b}}     further keywords of the task
//!     _module: NAME                    another module
//!     _once: true                      not again: it changes something each time
//!
//! A case may also be a mapping: `steps` as above; `apart: [keys]`, keys of the result which are not compared, and `differs: REASON`,
//! where kdeploy is different on purpose (the resource's manual says so): then the comparison must fail. `check_differs: REASON` is
//! that for the steps in check mode, while the others must be the same.
//!
//! `keys: [status]`: of this value only the keys are compared. Of a case whose `facts: true` the facts are compared too.
//!
//! `open.yml` names cases where kdeploy still differs and should not.
//!
//! KDEPLOY_PROOF_CASE=NAME runs one case only. Needs ansible-core and root: run by `./test modules`.

#[expect(dead_code, reason = "parts of the format are for lab nodes only")]
mod case;
mod compare;
mod sides;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let args = Arguments::from_args();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/modules/cases");
    let trials = files(&dir)
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            Trial::test(format!("modules::{name}"), move || run(&path)).with_ignored_flag(true)
        })
        .collect();
    libtest_mimic::run(&args, trials).exit();
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    found.sort();
    found
}

fn run(path: &Path) -> Result<(), Failed> {
    let file = case::read(path, true).map_err(|e| format!("{}: {e}", path.display()))?;
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = |program: &String| std::env::split_paths(&paths).any(|p| p.join(program).exists());
    if let Some(missing) = file.needs.iter().find(|p| !there(p)) {
        eprintln!("skipped: no `{missing}` on this machine");
        return Ok(());
    }
    let theirs = sides::ansible(&file)?;
    let ours = sides::kdeploy(&file)?;
    let wrong = compare::differences(&file, &theirs, &ours);
    if wrong.is_empty() { Ok(()) } else { Err(format!("{} differences:\n{}", wrong.len(), wrong.join("\n")).into()) }
}
