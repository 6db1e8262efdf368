//! Kept facts (`fact_caching = jsonfile`): each program reads what the other wrote.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

const CONFIG: &str = "\
[defaults]
inventory = hosts
fact_caching = jsonfile
fact_caching_connection = cache
fact_caching_prefix = pre_
";

const WRITES: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - set_fact:
        text: \"a 'quoted' {{ inventory_hostname }} é\"
        template: !unsafe \"{{ x }}\"
        number: 5
        big: 123456789012345678901234567890
        float: 1.5
        nothing: null
        truth: true
        day: 2020-01-02
        moment: 2020-01-02 03:04:05.5
        zoned: 2020-01-02T03:04:05Z
        list: [a, {b: [2020-01-02, 1]}]
        cacheable: true
    - set_fact: {passing: gone}
";

const READS: &str = "\
- hosts: all
  gather_facts: false
  tasks:
    - copy:
        dest: \"{{ out }}\"
        content: |
          {% for name in ['text', 'template', 'number', 'big', 'float', 'nothing', 'truth', 'day', 'moment', 'zoned', 'list'] %}
          {{ name }} {{ lookup('vars', name) | type_debug }} {{ lookup('vars', name) }} {{ ansible_facts[name] == lookup('vars', name) }}
          {% endfor %}
          {{ passing is defined }} {{ list[1].b[0] | type_debug }}
";

pub fn trials() -> Vec<Trial> {
    vec![Trial::test("oracle::fact_cache_of_each_other", each_reads_the_others).with_ignored_flag(true)]
}

fn run(program: &Path, dir: &Path, words: &[&str]) -> Result<(), Failed> {
    let output = Command::new(program)
        .args(words)
        .current_dir(dir)
        .env("XDG_STATE_HOME", dir.join("state"))
        .env("ANSIBLE_NOCOLOR", "1")
        .output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{} {words:?}:\n{}", program.display(), String::from_utf8_lossy(&said)).into())
}

fn each_reads_the_others() -> Result<(), Failed> {
    let dir = tempfile::tempdir()?;
    let dir = dir.path();
    let host = "one ansible_connection=local ansible_python_interpreter={{ansible_playbook_python}}\n";
    for (name, text) in [("ansible.cfg", CONFIG), ("hosts", host), ("writes.yml", WRITES), ("reads.yml", READS)] {
        std::fs::write(dir.join(name), text)?;
    }
    let ansible = crate::inventories::program("ansible-playbook");
    let kdeploy = Path::new(env!("CARGO_BIN_EXE_kdeploy"));
    let play = |theirs: bool, book: &str, out: &str| {
        let out = format!("out={}", dir.join(out).display());
        match theirs {
            true => run(&ansible, dir, &[book, "-e", &out]),
            false => run(kdeploy, dir, &["apply", "--no-plan", book, "-e", &out]),
        }
    };
    // What ansible-core reads of its own is the measure.
    for (writes, reads, out) in [(true, true, "a"), (true, false, "b"), (false, true, "c"), (false, false, "d")] {
        if dir.join("cache").exists() {
            std::fs::remove_dir_all(dir.join("cache"))?;
        }
        play(writes, "writes.yml", "")?;
        play(reads, "reads.yml", out)?;
        let (measure, read) = (std::fs::read_to_string(dir.join("a"))?, std::fs::read_to_string(dir.join(out))?);
        if !read.starts_with("text str a 'quoted' one é True\n") || read != measure {
            return Err(
                format!("ansible wrote: {writes}, ansible read: {reads}:\n{read}\ninstead of\n{measure}").into()
            );
        }
    }
    Ok(())
}
