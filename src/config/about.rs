//! What each setting does, for `docs/settings.md`: name, default, meaning.

use std::fmt::Write;

use super::keys::{KEYS, Key, Kind, MEANINGLESS};

const ABOUT: &[(&str, &str, &str)] = &[
    ("inventory", "`inventories/` of the project", "where hosts come from; a list of hosts ends with a comma"),
    ("playbook", "", "the playbook that `plan` and `apply` mean if none is named"),
    (
        "roles_path",
        "`~/.ansible/roles`, `/usr/share/ansible/roles`, `/etc/ansible/roles`",
        "where roles are looked for, after `roles/` beside the playbook",
    ),
    (
        "collections_path",
        "`~/.ansible/collections`, `/usr/share/ansible/collections`",
        "where collections are looked for, after `collections/` beside the playbook",
    ),
    ("library", "", "custom modules; Python modules are named as not supported"),
    ("forks", "50", "hosts worked on at the same time"),
    ("remote_user", "ssh's own", "the login user"),
    ("remote_port", "ssh's own", "the ssh port"),
    ("private_key_file", "ssh's own", "the key to log in with"),
    (
        "host_key_checking",
        "true",
        "false: any host key is taken; `accept-new`: an unknown host's key is taken and remembered",
    ),
    ("timeout", "10", "seconds for making a connection"),
    (
        "ssh_retries",
        "0",
        "how often a connection that cannot be made is tried again, after pauses of 0, 1, 3, 7 … seconds",
    ),
    ("command_timeout", "0", "seconds a command may take on a node; 0: any time"),
    (
        "connection",
        "ssh",
        "how to connect: `ssh`, `system_ssh` (the system's `ssh`) or `local`; `smart` and `paramiko` mean ssh",
    ),
    (
        "ssh_args",
        "",
        "options for ssh; ControlMaster, ControlPath, ControlPersist and compression are left out, with a word: there is one connection per node anyway",
    ),
    ("ssh_common_args", "", "more options for ssh, such as `-J bastion` or a ProxyCommand"),
    ("ssh_extra_args", "", "more options for ssh"),
    ("ask_pass", "false", "ask for the login password"),
    ("connection_password_file", "", "a file that holds the login password, or a program that prints it"),
    ("become", "false", "become another user for every task"),
    ("become_user", "root", "whom to become"),
    ("become_method", "sudo", "`sudo`, `su` or `doas`"),
    ("become_flags", "", "options for the become program"),
    ("become_exe", "", "the become program, where it is not the one its method is named after"),
    ("become_ask_pass", "false", "ask for the become password"),
    ("become_password_file", "", "a file that holds the become password, or a program that prints it"),
    ("vault_password_file", "", "a file that holds the vault password, or a program that prints it"),
    ("vault_identity", "default", "the id of passwords that are given without one"),
    (
        "vault_identity_list",
        "",
        "vault passwords by id: `id@file`, `id@prompt`; a program named `*-client` is told `--vault-id ID`",
    ),
    ("vault_id_match", "false", "try only passwords whose id stands in the vaulted text"),
    ("vault_encrypt_identity", "", "the id to encrypt with if there are several"),
    ("vault_encrypt_salt", "random", "the salt of new vaulted texts: the same text and password give the same result"),
    ("ask_vault_pass", "false", "ask for the vault password"),
    (
        "gathering",
        "implicit",
        "when facts are gathered: `implicit`: unless a play says no; `explicit`: only if it says so; `smart`: once per host",
    ),
    ("fact_caching", "memory", "`jsonfile` keeps facts from run to run"),
    ("fact_caching_connection", "", "the folder of kept facts"),
    ("fact_caching_prefix", "", "what names of kept facts begin with"),
    ("fact_caching_timeout", "86400", "seconds kept facts are good for; 0: for ever"),
    ("inject_facts_as_vars", "true", "facts are variables `ansible_…` too, not only in `ansible_facts`"),
    ("hash_behaviour", "replace", "`merge`: mappings of one name from several sources go together"),
    ("duplicate_dict_key", "warn", "a key that stands twice in a mapping: `warn`, `error` or `ignore`"),
    ("jinja2_extensions", "", "`do` and loop controls are always there; others are ignored, with a word"),
    ("allow_broken_conditionals", "false", "conditions may be any truthy value, as before ansible-core 2.19"),
    (
        "error_on_undefined_vars",
        "true",
        "an undefined variable is always an error, as in ansible-core 2.19; false is ignored, with a word",
    ),
    ("error_on_missing_handler", "true", "notifying a handler that does not exist is an error"),
    ("ansible_managed", "Ansible managed", "what templates write for `ansible_managed`"),
    ("any_errors_fatal", "false", "a failure on one host ends the play for all"),
    ("force_handlers", "false", "notified handlers run also on hosts that failed"),
    ("strategy", "linear", "hosts run independently and wait for each other only where a result depends on it"),
    ("task_timeout", "0", "seconds a task may take; 0: any time"),
    ("poll_interval", "15", "seconds between looks at a task in the background"),
    ("module_name", "command", "the module of `ansible` without `-m`"),
    ("no_log", "false", "hide every task's arguments and results"),
    ("run_tags", "", "only tasks with one of these tags"),
    ("skip_tags", "", "not tasks with one of these tags"),
    ("diff", "false", "show differences also when changes are made"),
    ("diff_context", "3", "lines shown around a difference"),
    ("max_diff_size", "104448", "bytes of a file above which no difference is shown"),
    ("verbosity", "0", "how much is shown, as `-v`"),
    ("nocolor", "false", "no colour"),
    ("force_color", "false", "colour also where no terminal is"),
    ("log_path", "", "a file to which the output under Ansible's names is written too"),
    ("display_skipped_hosts", "true", "show skipped tasks"),
    ("display_ok_hosts", "true", "show tasks without a change"),
    ("display_failed_stderr", "false", "failures to standard error"),
    ("show_custom_stats", "false", "what `set_stats` gathered, at the end"),
    ("show_task_path_on_failure", "false", "the place of a failed task"),
    ("check_mode_markers", "false", "mark tasks in check mode"),
    ("result_format", "json", "results as `json` or `yaml`"),
    (
        "stdout_callback",
        "default",
        "the form of the output under Ansible's names: `default`, `minimal`, `oneline` or `json`",
    ),
    ("retry_files_enabled", "false", "write failed hosts to a file for `--limit @FILE`"),
    ("retry_files_save_path", "beside the playbook", "the folder of such files"),
    ("playbook_dir", "", "for `inventory`: group_vars and host_vars beside this folder count too"),
    ("module_strict_utf8_response", "true", "a command whose output is not UTF-8 fails"),
    ("private_role_vars", "false", "a role's variables are seen by that role only"),
    (
        "inventory_ignore_extensions",
        "`.pyc`, `.pyo`, `.swp`, `.bak`, `~`, `.rpm`, `.md`, `.txt`, `.rst`, `.orig`, `.cfg`, `.retry`",
        "ends of names in an inventory folder that are no inventories",
    ),
    ("inventory_ignore_patterns", "", "regular expressions for names in an inventory folder that are no inventories"),
    (
        "inventory_enabled",
        "all",
        "the kinds of sources that are read: `host_list` (with ranges), `script`, `auto`, `yaml`, `ini`, `constructed`",
    ),
    (
        "inventory_any_unparsed_is_failed",
        "true (Ansible: false)",
        "a source that cannot be read is an error; false: a warning, and it counts as empty",
    ),
    ("inventory_unparsed_is_failed", "false", "with the one above false: an error if no source at all can be read"),
    ("inventory_unparsed_warning", "true", "with both false: whether there is a warning"),
    ("editor", "$EDITOR, then `vi`", "the editor of `vault edit` and `vault create`"),
    ("home", "`~/.ansible`", "the folder below which roles and collections are looked for"),
];

fn about(key: &Key) -> (&'static str, &'static str) {
    ABOUT.iter().find(|(name, ..)| *name == key.name).map_or(("", ""), |(_, default, text)| (default, text))
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Bool => "true or false".into(),
        Kind::Count => "number".into(),
        Kind::Path => "path".into(),
        Kind::Paths => "paths, `:` between".into(),
        Kind::Sources | Kind::List => "list, `,` between".into(),
        Kind::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", "),
        Kind::HostKeys => "true, false or `accept-new`".into(),
    }
}

/// `docs/settings.md`.
pub fn manual() -> String {
    let mut out = String::from(HEAD);
    for key in KEYS {
        let (default, text) = about(key);
        let _ = writeln!(out, "\n### `{}`\n", key.name);
        let _ = writeln!(
            out,
            "{text}. ({}{})\n",
            kind(key.kind),
            if default.is_empty() { String::new() } else { format!("; default: {default}") }
        );
        let ini: Vec<String> = key.ini.iter().map(|(section, name)| format!("`[{section}] {name}`")).collect();
        let env: Vec<String> = key.env.iter().map(|name| format!("`{name}`")).collect();
        if ini.is_empty() && env.is_empty() {
            let _ = writeln!(out, "Only in kdeploy.toml.");
        } else {
            let _ = writeln!(out, "ansible.cfg: {}; environment: {}", or_none(&ini), or_none(&env));
        }
    }
    out.push_str(IGNORED);
    for (section, names) in MEANINGLESS {
        let names: Vec<String> = names.iter().map(|n| format!("`{n}`")).collect();
        let _ = writeln!(out, "- `[{section}]`: {}", names.join(", "));
    }
    out
}

fn or_none(items: &[String]) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(", ") }
}

const HEAD: &str = "# Settings

<!-- made from src/config/keys.rs and about.rs: KDEPLOY_WRITE_DOCS=1 cargo nextest run the_manual_of_settings -->

A setting comes from, strongest first:

1. an option of the command line,
2. an environment variable,
3. kdeploy.toml, the nearest from the working directory upwards,
4. ansible.cfg: the one that `ANSIBLE_CONFIG` names, or the one in the working directory (unless anyone may write to that folder: then
   it is passed over with a warning), `~/.ansible.cfg`, `/etc/ansible/ansible.cfg`; the first that is there, alone,
5. the default.

In kdeploy.toml the keys stand at the top, without sections: `forks = 20`, `roles_path = [\"roles\", \"../shared/roles\"]`. Paths are
relative to the file they stand in, those of environment variables and options to the working directory; `~`, `$VAR` and, in
ansible.cfg, `{{CWD}}` are replaced. `%` means nothing special. An unknown key in kdeploy.toml is an error that names the nearest one;
in ansible.cfg it is a warning if it looks like a typing error, and a note (`-v`) otherwise.

## Every setting
";

const IGNORED: &str = "
## Ignored

Settings of Ansible's that concern Python, its plugins or its way of copying modules mean nothing here. They are accepted, and `-v`
tells that they are ignored:

";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_described_once() {
        for key in KEYS {
            assert_eq!(ABOUT.iter().filter(|(name, ..)| *name == key.name).count(), 1, "{}", key.name);
        }
        for (name, ..) in ABOUT {
            assert!(Key::named(name).is_some(), "there is no setting `{name}`");
        }
        // A setting that is used is not said to be ignored.
        for (section, names) in MEANINGLESS {
            for name in *names {
                assert!(!KEYS.iter().any(|k| k.ini.contains(&(*section, *name))), "[{section}] {name}");
            }
        }
    }

    #[test]
    fn the_manual_of_settings_is_in_step() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
        if std::env::var_os("KDEPLOY_WRITE_DOCS").is_some() {
            std::fs::write(&path, manual()).expect("written");
        }
        let written = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            written == manual(),
            "docs/settings.md is old: KDEPLOY_WRITE_DOCS=1 cargo nextest run the_manual_of_settings"
        );
    }
}
