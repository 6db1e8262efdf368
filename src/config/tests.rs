use std::path::Path;

use super::*;

fn load(dir: &Path, files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Settings, crate::problem::Problems> {
    for (name, text) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        std::fs::write(path, text).expect("written");
    }
    let home = dir.join("home");
    let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Settings::from_start(&Start { cwd: dir.join("work"), home: Some(home), env })
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("work")).expect("made");
    dir
}

#[test]
fn stronger_sources_win() {
    let dir = folder();
    let settings = load(
        dir.path(),
        &[
            ("kdeploy.toml", "inventory = \"inv\"\nforks = 7\nroles_path = [\"roles\", \"/r\"]\ndiff = true\n"),
            ("work/ansible.cfg", "[defaults]\nforks = 3\nremote_user = bob ; the builder\ntimeout=30\nroles_path=a:~/b\n[privilege_escalation]\nbecome=yes\n[diff]\nalways: no\n"),
        ],
        &[("ANSIBLE_TIMEOUT", "5"), ("ANSIBLE_INVENTORY", "x,y")],
    )
    .expect("fine");
    let at = |p: &str| dir.path().join(p).display().to_string();
    assert_eq!(settings.forks(), Some(7));
    assert_eq!(settings.timeout(), Some(5));
    assert_eq!(settings.text("remote_user"), Some("bob"));
    assert!(settings.flag("become", false));
    assert!(settings.flag("diff", false));
    assert_eq!(settings.inventory(), [at("work/x"), at("work/y")]);
    assert_eq!(settings.roles_path(), [dir.path().join("roles"), "/r".into()]);
    assert_eq!(settings.origin("forks").to_string(), format!("{}:2:9", at("kdeploy.toml")));
    assert_eq!(settings.origin("timeout").to_string(), "environment variable ANSIBLE_TIMEOUT");
    assert_eq!(settings.origin("gathering").to_string(), "default");
    let mut settings = settings;
    settings.give("forks", "1").expect("a number");
    assert_eq!(settings.forks(), Some(1));
}

#[test]
fn mistakes_have_places() {
    let dir = folder();
    let problems = load(
        dir.path(),
        &[
            ("kdeploy.toml", "forsk = 7\ndiff = \"maybe\"\nforks = 1.5\ngathering = \"smrt\"\n"),
            ("work/ansible.cfg", "[defaults]\ntimeout = soon\n"),
        ],
        &[("ANSIBLE_FORKS", "many")],
    )
    .expect_err("problems");
    let told: Vec<String> = problems
        .0
        .iter()
        .map(|p| format!("{}: {} {:?} {:?}", p.span.as_ref().map_or(0, |s| s.line()), p.message, p.help, p.notes))
        .collect();
    insta::assert_snapshot!(told.join("\n"));
    let dir = folder();
    let problems = load(dir.path(), &[("kdeploy.toml", "forks = \n")], &[]).expect_err("syntax");
    assert!(problems.0[0].span.is_some());
}

#[test]
fn what_means_nothing_here_is_noted() {
    let dir = folder();
    let settings = load(
        dir.path(),
        &[(
            "work/ansible.cfg",
            "[defaults]\nnocows = 1\nfork = 3\n[galaxy]\nserver = x\n[ssh_connection]\npipelining = True\nssh_args = -C -o ControlMaster=auto -oControlPersist=60s -J hop\n",
        )],
        &[("ANSIBLE_CALLBACKS_ENABLED", "timer")],
    )
    .expect("fine");
    assert_eq!(settings.warnings.len(), 1);
    assert_eq!(settings.warnings[0].help, ["did you mean `forks`?"]);
    let told: Vec<&str> = settings.notes.iter().map(|n| n.message.as_str()).collect();
    assert_eq!(settings.ssh_args(), ["-J", "hop"]);
    assert_eq!(told.len(), 5, "{told:?}");
    assert_eq!(settings.ssh_args(), ["-J", "hop"]);
}

#[test]
fn a_folder_anyone_may_write_to_is_not_trusted() {
    use std::os::unix::fs::PermissionsExt;
    let dir = folder();
    std::fs::set_permissions(dir.path().join("work"), std::fs::Permissions::from_mode(0o777)).expect("set");
    let settings = load(
        dir.path(),
        &[("work/ansible.cfg", "[defaults]\nforks = 3\n"), ("home/.ansible.cfg", "[defaults]\ntimeout = 3\n")],
        &[],
    )
    .expect("fine");
    assert_eq!(settings.warnings[0].code, "world-writable");
    assert_eq!((settings.forks(), settings.timeout()), (None, Some(3)));
    let config = dir.path().join("work").display().to_string();
    let settings = load(dir.path(), &[], &[("ANSIBLE_CONFIG", &config)]).expect("fine");
    assert_eq!(settings.forks(), Some(3));
}

#[test]
fn without_settings_the_inventories_folder_counts() {
    let dir = folder();
    assert!(load(dir.path(), &[], &[]).expect("fine").inventory().is_empty());
    let settings = load(dir.path(), &[("work/inventories/hosts", "a\n")], &[]).expect("fine");
    assert_eq!(settings.inventory(), [dir.path().join("work/inventories").display().to_string()]);
}

#[test]
fn settings_without_effect_are_told() {
    let dir = folder();
    let settings = load(
        dir.path(),
        &[(
            "work/ansible.cfg",
            "[defaults]\njinja2_extensions = jinja2.ext.do,jinja2.ext.i18n\nerror_on_undefined_vars = no\nstdout_callback = yaml\n[inventory]\nenable_plugins = ini, amazon.aws.aws_ec2\n",
        )],
        &[],
    )
    .expect("fine");
    let told: Vec<&str> = settings.notes.iter().map(|n| n.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "`jinja2_extensions`: jinja2.ext.i18n is ignored: Jinja's extensions are Python",
            "`error_on_undefined_vars`: false is ignored: an undefined variable is an error, as in ansible-core 2.19",
            "`inventory_enabled`: amazon.aws.aws_ec2 is ignored: inventory plugins are Python",
        ]
    );
    assert!(settings.notes.iter().all(|n| n.span.is_some()));
}

#[test]
fn values_are_taken_as_ansible_takes_them() {
    let dir = folder();
    let settings = load(
        dir.path(),
        &[(
            "work/ansible.cfg",
            "[defaults]\nroles_path = roles:{{CWD}}/x:$SHARED/r\nprivate_key_file = \"~/.ssh/100%.key\"\nremote_port = 2200\nlog_path=\nhash_behaviour = MERGE\n[ssh_connection]\nssh_args = -o ProxyCommand=\"ssh -W %h:%p bastion\" -o ControlMaster=auto\n[tags]\nrun = a, b\n",
        )],
        &[("SHARED", "/srv")],
    )
    .expect("fine");
    let at = |p: &str| dir.path().join(p);
    assert_eq!(settings.roles_path(), [at("work/roles"), at("work/x"), "/srv/r".into()]);
    assert_eq!(settings.private_key_file(), Some(at("home/.ssh/100%.key")));
    assert_eq!(settings.remote_port().expect("a port"), Some(2200));
    assert_eq!(settings.hash_behaviour(), HashBehaviour::Merge);
    assert_eq!(settings.ssh_args(), ["-o", "ProxyCommand=ssh -W %h:%p bastion"]);
    assert_eq!(settings.list("run_tags"), Some(&["a".to_owned(), "b".to_owned()][..]));
    let wrong = load(dir.path(), &[("work/ansible.cfg", "[defaults]\nremote_port = 70000\n")], &[]).expect("loads");
    assert!(wrong.remote_port().expect_err("no port").span.is_some());
}
