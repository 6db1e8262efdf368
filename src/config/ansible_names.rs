//! Settings by the names Ansible gives them in its own tools, with its defaults: what `lookup('config', 'DEFAULT_ROLES_PATH')` reads.

use std::collections::HashMap;

use super::keys::{Key, Kind};
use super::sources::Origin;
use super::{Settings, Value};

/// Ansible's name, kdeploy's key for it (none: a thing of Ansible's machinery, of which only the default can be told), and the
/// default as JSON; `~` is the home.
const NAMES: &[(&str, &str, &str)] = &[
    ("ACTION_WARNINGS", "", "true"),
    ("ALLOW_BROKEN_CONDITIONALS", "allow_broken_conditionals", "false"),
    ("ANSIBLE_FORCE_COLOR", "force_color", "false"),
    ("ANSIBLE_HOME", "home", "\"~/.ansible\""),
    ("ANSIBLE_NOCOLOR", "nocolor", "false"),
    ("ANSIBLE_NOCOWS", "", "false"),
    ("ANSIBLE_PIPELINING", "", "false"),
    ("ANY_ERRORS_FATAL", "any_errors_fatal", "false"),
    ("BECOME_PASSWORD_FILE", "become_password_file", "null"),
    ("CACHE_PLUGIN", "fact_caching", "\"memory\""),
    ("CACHE_PLUGIN_CONNECTION", "fact_caching_connection", "null"),
    ("CACHE_PLUGIN_PREFIX", "fact_caching_prefix", "\"ansible_facts\""),
    ("CACHE_PLUGIN_TIMEOUT", "fact_caching_timeout", "86400"),
    ("CALLBACKS_ENABLED", "", "[]"),
    ("COLLECTIONS_PATHS", "collections_path", "[\"~/.ansible/collections\", \"/usr/share/ansible/collections\"]"),
    ("COLOR_CHANGED", "", "\"yellow\""),
    ("COLOR_CONSOLE_PROMPT", "", "\"white\""),
    ("COLOR_DEBUG", "", "\"dark gray\""),
    ("COLOR_DEPRECATE", "", "\"purple\""),
    ("COLOR_DIFF_ADD", "", "\"green\""),
    ("COLOR_DIFF_LINES", "", "\"cyan\""),
    ("COLOR_DIFF_REMOVE", "", "\"red\""),
    ("COLOR_ERROR", "", "\"red\""),
    ("COLOR_HIGHLIGHT", "", "\"white\""),
    ("COLOR_INCLUDED", "", "\"cyan\""),
    ("COLOR_OK", "", "\"green\""),
    ("COLOR_SKIP", "", "\"cyan\""),
    ("COLOR_UNREACHABLE", "", "\"bright red\""),
    ("COLOR_VERBOSE", "", "\"blue\""),
    ("COLOR_WARN", "", "\"bright purple\""),
    ("CONFIG_FILE", "", "null"),
    ("CONNECTION_PASSWORD_FILE", "connection_password_file", "null"),
    ("DEFAULT_ASK_PASS", "ask_pass", "false"),
    ("DEFAULT_ASK_VAULT_PASS", "ask_vault_pass", "false"),
    ("DEFAULT_BECOME", "become", "false"),
    ("DEFAULT_BECOME_ASK_PASS", "become_ask_pass", "false"),
    ("DEFAULT_BECOME_FLAGS", "become_flags", "\"\""),
    ("DEFAULT_BECOME_METHOD", "become_method", "\"sudo\""),
    ("DEFAULT_BECOME_USER", "become_user", "\"root\""),
    ("DEFAULT_DEBUG", "", "false"),
    ("DEFAULT_EXECUTABLE", "", "\"/bin/sh\""),
    ("DEFAULT_FORCE_HANDLERS", "force_handlers", "false"),
    ("DEFAULT_FORKS", "forks", "50"),
    ("DEFAULT_GATHERING", "gathering", "\"implicit\""),
    ("DEFAULT_HASH_BEHAVIOUR", "hash_behaviour", "\"replace\""),
    ("DEFAULT_HOST_LIST", "inventory", "[\"/etc/ansible/hosts\"]"),
    ("DEFAULT_JINJA2_EXTENSIONS", "jinja2_extensions", "[]"),
    ("DEFAULT_JINJA2_NATIVE", "", "true"),
    ("DEFAULT_KEEP_REMOTE_FILES", "", "false"),
    ("DEFAULT_LOG_PATH", "log_path", "null"),
    ("DEFAULT_MANAGED_STR", "ansible_managed", "\"Ansible managed\""),
    ("DEFAULT_MODULE_NAME", "module_name", "\"command\""),
    ("DEFAULT_MODULE_PATH", "library", "[\"~/.ansible/plugins/modules\", \"/usr/share/ansible/plugins/modules\"]"),
    ("DEFAULT_NO_LOG", "no_log", "false"),
    ("DEFAULT_NO_TARGET_SYSLOG", "", "false"),
    ("DEFAULT_POLL_INTERVAL", "poll_interval", "15"),
    ("DEFAULT_PRIVATE_KEY_FILE", "private_key_file", "null"),
    ("DEFAULT_PRIVATE_ROLE_VARS", "private_role_vars", "false"),
    ("DEFAULT_REMOTE_PORT", "remote_port", "null"),
    ("DEFAULT_REMOTE_USER", "remote_user", "null"),
    (
        "DEFAULT_ROLES_PATH",
        "roles_path",
        "[\"~/.ansible/roles\", \"/usr/share/ansible/roles\", \"/etc/ansible/roles\"]",
    ),
    ("DEFAULT_STDOUT_CALLBACK", "stdout_callback", "\"default\""),
    ("DEFAULT_STRATEGY", "strategy", "\"linear\""),
    ("DEFAULT_SYSLOG_FACILITY", "", "\"LOG_USER\""),
    ("DEFAULT_TIMEOUT", "timeout", "10"),
    ("DEFAULT_TRANSPORT", "connection", "\"ssh\""),
    ("DEFAULT_UNDEFINED_VAR_BEHAVIOR", "error_on_undefined_vars", "true"),
    ("DEFAULT_VAULT_ENCRYPT_IDENTITY", "vault_encrypt_identity", "null"),
    ("DEFAULT_VAULT_IDENTITY", "vault_identity", "\"default\""),
    ("DEFAULT_VAULT_IDENTITY_LIST", "vault_identity_list", "[]"),
    ("DEFAULT_VAULT_ID_MATCH", "vault_id_match", "false"),
    ("DEFAULT_VAULT_PASSWORD_FILE", "vault_password_file", "null"),
    ("DEFAULT_VERBOSITY", "verbosity", "0"),
    ("DEPRECATION_WARNINGS", "", "true"),
    ("DIFF_ALWAYS", "diff", "false"),
    ("DIFF_CONTEXT", "diff_context", "3"),
    ("DISPLAY_ARGS_TO_STDOUT", "", "false"),
    ("DISPLAY_SKIPPED_HOSTS", "display_skipped_hosts", "true"),
    ("DUPLICATE_YAML_DICT_KEY", "duplicate_dict_key", "\"warn\""),
    ("EDITOR", "editor", "\"vi\""),
    ("ENABLE_TASK_DEBUGGER", "", "false"),
    ("ERROR_ON_MISSING_HANDLER", "error_on_missing_handler", "true"),
    ("FACTS_MODULES", "", "[\"smart\"]"),
    ("GALAXY_SERVER", "", "\"https://galaxy.ansible.com\""),
    ("HOST_KEY_CHECKING", "host_key_checking", "true"),
    ("HOST_PATTERN_MISMATCH", "", "\"warning\""),
    ("INJECT_FACTS_AS_VARS", "inject_facts_as_vars", "true"),
    ("INTERPRETER_PYTHON", "", "\"auto\""),
    ("INVALID_TASK_ATTRIBUTE_FAILED", "", "true"),
    ("INVENTORY_ANY_UNPARSED_IS_FAILED", "inventory_any_unparsed_is_failed", "true"),
    ("INVENTORY_ENABLED", "inventory_enabled", "[\"host_list\", \"script\", \"auto\", \"yaml\", \"ini\", \"toml\"]"),
    (
        "INVENTORY_IGNORE_EXTS",
        "inventory_ignore_extensions",
        "[\".pyc\", \".pyo\", \".swp\", \".bak\", \"~\", \".rpm\", \".md\", \".txt\", \".rst\", \".orig\", \".cfg\", \".retry\"]",
    ),
    ("INVENTORY_IGNORE_PATTERNS", "inventory_ignore_patterns", "[]"),
    ("INVENTORY_UNPARSED_IS_FAILED", "inventory_unparsed_is_failed", "false"),
    ("INVENTORY_UNPARSED_WARNING", "inventory_unparsed_warning", "true"),
    ("LOCALHOST_WARNING", "", "true"),
    ("MAX_FILE_SIZE_FOR_DIFF", "max_diff_size", "104448"),
    ("MODULE_STRICT_UTF8_RESPONSE", "module_strict_utf8_response", "true"),
    ("PAGER", "", "\"less\""),
    ("PLAYBOOK_DIR", "playbook_dir", "null"),
    ("PLAYBOOK_VARS_ROOT", "", "\"top\""),
    ("RETRY_FILES_ENABLED", "retry_files_enabled", "false"),
    ("RETRY_FILES_SAVE_PATH", "retry_files_save_path", "null"),
    ("RUN_VARS_PLUGINS", "", "\"demand\""),
    ("SHOW_CUSTOM_STATS", "show_custom_stats", "false"),
    ("SYSTEM_WARNINGS", "", "true"),
    ("TAGS_RUN", "run_tags", "[]"),
    ("TAGS_SKIP", "skip_tags", "[]"),
    ("TASK_TIMEOUT", "task_timeout", "0"),
    ("TRANSFORM_INVALID_GROUP_CHARS", "", "\"never\""),
    ("VAULT_ENCRYPT_SALT", "vault_encrypt_salt", "null"),
    ("VERBOSE_TO_STDERR", "", "false"),
    ("YAML_FILENAME_EXTENSIONS", "", "[\".yml\", \".yaml\", \".json\"]"),
];

/// Options of plugins: type, plugins, option, kdeploy's key (none: only the default can be told) and the default as JSON.
const PLUGINS: &[(&str, &[&str], &str, &str, &str)] = &[
    ("become", &["sudo", "su"], "become_user", "become_user", "\"root\""),
    ("become", &["sudo"], "become_exe", "become_exe", "\"sudo\""),
    ("become", &["su"], "become_exe", "become_exe", "\"su\""),
    ("become", &["sudo"], "become_flags", "become_flags", "\"-H -S -n\""),
    ("become", &["su"], "become_flags", "become_flags", "\"\""),
    ("become", &["sudo", "su"], "become_pass", "", "null"),
    ("become", &["sudo"], "sudo_chdir", "", "null"),
    ("cache", &["jsonfile"], "_prefix", "fact_caching_prefix", "null"),
    ("cache", &["jsonfile"], "_timeout", "fact_caching_timeout", "86400"),
    ("cache", &["jsonfile"], "_uri", "fact_caching_connection", "null"),
    ("callback", &["default"], "check_mode_markers", "check_mode_markers", "false"),
    ("callback", &["default"], "display_failed_stderr", "display_failed_stderr", "false"),
    ("callback", &["default"], "display_ok_hosts", "display_ok_hosts", "true"),
    ("callback", &["default"], "display_skipped_hosts", "display_skipped_hosts", "true"),
    ("callback", &["default", "minimal"], "result_format", "result_format", "\"json\""),
    ("callback", &["default"], "show_custom_stats", "show_custom_stats", "false"),
    ("callback", &["default"], "show_task_path_on_failure", "show_task_path_on_failure", "false"),
    ("connection", &["local", "ssh"], "pipelining", "", "false"),
    ("connection", &["ssh"], "control_path", "", "null"),
    ("connection", &["ssh"], "control_path_dir", "", "\"~/.ansible/cp\""),
    ("connection", &["ssh"], "host", "", "\"inventory_hostname\""),
    ("connection", &["ssh", "paramiko_ssh"], "host_key_checking", "host_key_checking", "true"),
    ("connection", &["ssh", "paramiko_ssh"], "password", "", "null"),
    ("connection", &["ssh"], "port", "remote_port", "null"),
    ("connection", &["paramiko_ssh"], "port", "remote_port", "22"),
    ("connection", &["ssh", "paramiko_ssh"], "private_key_file", "private_key_file", "null"),
    ("connection", &["ssh"], "reconnection_retries", "ssh_retries", "0"),
    ("connection", &["ssh", "paramiko_ssh"], "remote_user", "remote_user", "null"),
    ("connection", &["ssh"], "scp_executable", "", "\"scp\""),
    ("connection", &["ssh"], "sftp_batch_mode", "", "true"),
    ("connection", &["ssh"], "sftp_executable", "", "\"sftp\""),
    ("connection", &["ssh"], "ssh_args", "ssh_args", "\"-C -o ControlMaster=auto -o ControlPersist=60s\""),
    ("connection", &["ssh"], "ssh_common_args", "ssh_common_args", "\"\""),
    ("connection", &["ssh"], "ssh_executable", "", "\"ssh\""),
    ("connection", &["ssh"], "ssh_extra_args", "ssh_extra_args", "\"\""),
    ("connection", &["ssh", "paramiko_ssh"], "timeout", "timeout", "10"),
    ("shell", &["sh"], "admin_users", "", "[\"root\", \"toor\"]"),
    ("shell", &["sh"], "async_dir", "", "\"~/.ansible_async\""),
    ("shell", &["sh"], "common_remote_group", "", "null"),
    ("shell", &["sh"], "remote_tmp", "", "\"~/.ansible/tmp\""),
    ("shell", &["sh"], "system_tmpdirs", "", "[\"/var/tmp\", \"/tmp\"]"),
    ("shell", &["sh"], "world_readable_temp", "", "false"),
];

/// The settings of one plugin: type, name, option → value and origin.
pub type PluginValues = HashMap<(&'static str, &'static str, &'static str), (minijinja::Value, String)>;

/// Settings of plugins, for `lookup('config', …, plugin_type=…, plugin_name=…)`.
pub fn plugin_values(settings: &Settings) -> PluginValues {
    let mut all = HashMap::new();
    for (kind, plugins, option, key, default) in PLUGINS {
        let told = given(settings, key).unwrap_or_else(|| by_default(default));
        for plugin in *plugins {
            all.insert((*kind, *plugin, *option), told.clone());
        }
    }
    all
}

/// Every one of these settings: its value in this run, and where it comes from in Ansible's words.
pub fn values(settings: &Settings) -> HashMap<&'static str, (minijinja::Value, String)> {
    let home = std::env::var("HOME").unwrap_or_default();
    NAMES
        .iter()
        .map(|(name, key, default)| {
            let told = match given(settings, key) {
                Some(told) => told,
                None if *name == "CONFIG_FILE" => {
                    let file = settings.ansible_cfg().map(|p| p.display().to_string());
                    (file.map_or(minijinja::Value::from(()), minijinja::Value::from), String::new())
                }
                None => by_default(&default.replace("\"~/", &format!("\"{home}/"))),
            };
            (*name, told)
        })
        .collect()
}

/// What the operator set, and where.
fn given(settings: &Settings, key: &str) -> Option<(minijinja::Value, String)> {
    let (_, value, origin) = settings.given().find(|(given, ..)| *given == key)?;
    Some((template_value(value, Key::named(key)), origin_text(origin)))
}

/// A default, written as JSON.
fn by_default(json: &str) -> (minijinja::Value, String) {
    (plain(&serde_json::from_str(json).unwrap_or_default()), "default".to_owned())
}

fn origin_text(origin: &Origin) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::File(span) => span.file.path.display().to_string(),
        Origin::Env(name) => format!("env: {name}"),
        Origin::CommandLine => "cli".to_owned(),
    }
}

fn template_value(value: &Value, key: Option<&Key>) -> minijinja::Value {
    match value {
        Value::Text(text) if key.is_some_and(|k| k.kind == Kind::HostKeys) => minijinja::Value::from(text != "false"),
        Value::Text(text) => minijinja::Value::from(text.as_str()),
        Value::Bool(b) => minijinja::Value::from(*b),
        Value::Count(n) => minijinja::Value::from(*n),
        Value::List(items) => minijinja::Value::from(items.clone()),
    }
}

/// A default: a scalar, or a list of texts.
fn plain(json: &serde_json::Value) -> minijinja::Value {
    use serde_json::Value as Json;
    match json {
        Json::Bool(b) => minijinja::Value::from(*b),
        Json::Number(n) => minijinja::Value::from(n.as_i64()),
        Json::String(s) => minijinja::Value::from(s.as_str()),
        Json::Array(items) => minijinja::Value::from(items.iter().map(plain).collect::<Vec<_>>()),
        _ => minijinja::Value::from(()),
    }
}
