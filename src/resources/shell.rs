//! `shell`: a text for the node's shell. How it is run stands in `command`.

use std::sync::Arc;

use super::command::{Line, line, nothing_to_run, run};
use super::kit::{self};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting};
use crate::world::Stop;

const DOC: &str = "\
# shell

Runs a text with the node's shell: pipes, redirections, variables and globbing work.

`/bin/sh` unless `executable` names another. `creates` and `removes` as for `command`.

## Return values

- `cmd` (text): the text that ran
- `rc` (int), `stdout`, `stderr` (text), `stdout_lines`, `stderr_lines` (lists)
- `start`, `end`, `delta` (text): when it ran and how long
- `msg` (text): why it did not run or failed

## Examples

    - name: Version of the kernel
      shell: uname -r | cut -d- -f1
      register: kernel
      changed_when: false

    - name: Concatenate the certificates
      shell:
        cmd: cat *.crt > bundle.pem
        chdir: /etc/ssl/local
        creates: /etc/ssl/local/bundle.pem

## Differences from Ansible

A plan tells `run` and calls the registered result unknown; with `--check` it is Ansible's (rc 0, skipped).
";

const ARGS: &[ArgSpec] = &[
    ArgSpec::new("_raw_params", Kind::Raw, "The shell text, written free-form"),
    ArgSpec::new("cmd", Kind::Str, "The shell text"),
    ArgSpec::new("chdir", Kind::Path, "Directory to run in"),
    ArgSpec::new("creates", Kind::Path, "Do not run if this file or pattern exists"),
    ArgSpec::new("removes", Kind::Path, "Run only if this file or pattern exists"),
    ArgSpec::new("executable", Kind::Path, "Absolute path of the shell"),
    ArgSpec::new("stdin", Kind::Str, "Text for the program's standard input"),
    ArgSpec::new("stdin_add_newline", Kind::Bool, "End `stdin` with a newline").default("true"),
    ArgSpec::new("strip_empty_ends", Kind::Bool, "Drop empty lines at the end of stdout and stderr").default("true"),
];

/// `shell`.
pub static TYPE: ResourceType = ResourceType {
    name: "shell",
    qualified: &["ansible.builtin.shell", "ansible.legacy.shell"],
    doc: DOC,
    args: ARGS,
    free_form: Some("_raw_params"),
    conduct: Conduct::Runs,
    build,
};

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    kit::exclusive(&args, "_raw_params", "cmd")?;
    let text = line(&args)?.ok_or_else(|| nothing_to_run(&args))?;
    run(&args, setting, Line::Shell { text, executable: args.str("executable")? })
}
