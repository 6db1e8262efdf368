//! Files that were damaged byte by byte: every reader takes them or refuses them, soon, in little memory, without a panic.
//!
//! A few seconds' worth of cases in the quick suite; `KDEPLOY_FUZZ_CASES=20000` looks longer.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::config::{Settings, Start};
use crate::inventory::{Inventory, LoadOptions};
use crate::plan::SavedPlan;
use crate::source::{SourceFile, Span};
use crate::template::{Context, Engine, EngineOptions, SearchPaths};
use crate::vars::vault::{Source, VaultSecrets};
use crate::yaml::Node;

/// No damaged file may take longer, on the slowest machine.
const SLOWEST: Duration = Duration::from_secs(30);
/// Nor make the process this much larger.
const MEMORY: u64 = 1 << 30;

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("KDEPLOY_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, max_shrink_iters: 200, ..ProptestConfig::default() }
}

/// One damage: where (as a share of the file), what, and a byte or two for it.
#[derive(Debug, Clone)]
enum Damage {
    Flip(u16, u8),
    Insert(u16, u8),
    Token(u16, usize),
    Delete(u16, u8),
    Repeat(u16, u8, u8),
    Swap(u16, u16, u8),
}

const TOKENS: &[&str] = &[
    "{{",
    "}}",
    "{%",
    "%}",
    "&a ",
    "*a",
    "- ",
    ": ",
    "\n",
    "\n\n",
    "  ",
    "\t",
    "\"",
    "'",
    "[",
    "]",
    "{",
    "}",
    "<<: ",
    "!!",
    "!vault ",
    "!unsafe ",
    "\\u0000",
    "\\ud800",
    "null",
    "-1",
    "99999999999999999999",
    "1e999",
    "\u{feff}",
    "\u{2028}",
    "%",
    "#",
    "=",
    ",",
    "|",
    ">",
    "---\n",
    "...\n",
    "[1:9999999999]",
    ":vars]",
    ":children]",
    "$ANSIBLE_VAULT;",
    "\r\n",
    "é",
    "🎉",
];

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let one = prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, b)| Damage::Flip(at, b)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, b)| Damage::Insert(at, b)),
        (any::<u16>(), 0..TOKENS.len()).prop_map(|(at, t)| Damage::Token(at, t)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, n)| Damage::Delete(at, n)),
        (any::<u16>(), any::<u8>(), 1..60u8).prop_map(|(at, n, times)| Damage::Repeat(at, n, times)),
        (any::<u16>(), any::<u16>(), any::<u8>()).prop_map(|(a, b, n)| Damage::Swap(a, b, n)),
    ];
    prop::collection::vec(one, 1..8)
}

fn damaged(seed: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = seed.as_bytes().to_vec();
    for damage in damages {
        let place = |at: u16, len: usize| usize::from(at) * len / (usize::from(u16::MAX) + 1);
        let len = bytes.len();
        match *damage {
            Damage::Flip(at, b) if len > 0 => bytes[place(at, len)] ^= b,
            Damage::Insert(at, b) => bytes.insert(place(at, len + 1), b),
            Damage::Token(at, token) => {
                let at = place(at, len + 1);
                bytes.splice(at..at, TOKENS[token].bytes());
            }
            Damage::Delete(at, n) if len > 0 => {
                let at = place(at, len);
                bytes.drain(at..(at + usize::from(n)).min(len));
            }
            Damage::Repeat(at, n, times) if len > 0 => {
                let at = place(at, len);
                let part = bytes[at..(at + usize::from(n)).min(len)].repeat(usize::from(times));
                bytes.splice(at..at, part);
            }
            Damage::Swap(a, b, n) if len > 1 => {
                let (a, b, n) = (place(a, len), place(b, len), usize::from(n) % 16 + 1);
                for i in 0..n {
                    if a + i < len && b + i < len {
                        bytes.swap(a + i, b + i);
                    }
                }
            }
            _ => {}
        }
    }
    bytes
}

/// Runs a reader on what is left of a seed, and looks at clock and memory.
fn judge(seed: &str, damages: &[Damage], read: impl FnOnce(&[u8])) -> Result<(), TestCaseError> {
    let bytes = damaged(seed, damages);
    let before = peak();
    let begin = Instant::now();
    read(&bytes);
    prop_assert!(begin.elapsed() < SLOWEST, "it took {:?}", begin.elapsed());
    prop_assert!(peak().saturating_sub(before) < MEMORY, "it took {} bytes", peak() - before);
    Ok(())
}

/// The most memory this process has had, in bytes.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn seeds(files: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(files)
}

const YAML: &[&str] = &[
    include_str!("../tests/oracle/cases/yaml_values.yml"),
    include_str!("../tests/oracle/cases/block_nesting.yml"),
    "a: &a [1, 2]\nb: *a\nc: {<<: {x: 1}, y: !unsafe '{{ z }}'}\nd: |\n  text\n   more\ne: >-\n  folded\n  lines\n? k\n: v\n",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: &d [*c, *c]\ne: [*d, *d]\n",
];

const INI: &[&str] = &[
    "[web]\nw[01:20:2] a=1 b='x y' ansible_host=10.0.0.1\nw30:2222\n[web:vars]\nlist=[1, 'a', {\"k\": True}]\ntext=a # no comment\n[all:children]\nweb\n",
    "host1\nhost[a:f].example.org ansible_port=22\n[g]\nhost1 x={'a': (1, 2)} y=0x1F z=-1.5e3\n[g:children]\nweb\n; comment\n[web]\n",
];

const TEMPLATES: &[&str] = &[
    "{% for i in range(5) if i is odd %}{{ loop.index }}: {{ items[i] | default('x') | upper }}\n{% else %}none{% endfor %}{{ '%s %05.2f' | format('a', 2.5) }}",
    "{% macro m(a, b=2) %}{{ a ~ b }}{{ varargs }}{% endmacro %}{{ m(1, *[2, 3], **{'b': 4}) }}{% set ns = namespace(n=0) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}",
    "{{ {'a': [1, 2, {'b': none}]} | to_nice_yaml(indent=2) }}{{ 'a,b' | split(',') | map('regex_replace', '^(.)', '<\\\\1>') | join('-') }}",
    "{% if a is defined and a.b.c is not none or 'x' in ['x', \"y\"] %}{{ -1 ** 2 // 3 % 4 }}{% elif not b %}{% raw %}{{ raw }}{% endraw %}{% endif -%} end {# c #}",
    "{{ '2024-01-02' | to_datetime('%Y-%m-%d') }}{{ 'abc'[::-1] }}{{ 1.5e10 | round(2, 'ceil') | int }}{{ '{:>10}|{!r}'.format('a', 'b') }}{{ 'x' * 20 }}",
];

const VAULT: &[&str] = &[
    "$ANSIBLE_VAULT;1.1;AES256\n33653664643230636361383233643962343732663534353339613066623937623131616636356234\n6365313666666261313530343530343634316538323234310a346133363330386235653164663034\n63636630346133316231376436316538396136623235386339386331333762656166633161616630\n6138393839666166390a613366396436356561343337313933346530366435623963343937623364\n6439\n",
    "$ANSIBLE_VAULT;1.2;AES256;dev\n63346361363264313237321623332631613030383639\n3230633939356262316565366238336133633064636634350a313131613538313937333537393838\n3438\n",
];

const CFG: &[&str] = &[
    "[defaults]\ninventory = hosts, other\nforks = 20\nhost_key_checking = False ; why\nroles_path = ~/roles:{{CWD}}/x\n  continued\n# comment\n[ssh_connection]\nssh_args = -o ControlMaster=auto -J bastion\n[privilege_escalation]\nbecome = yes\n[tags]\nrun = a, b\n",
];

const JSON: &[&str] = &[
    r#"{"_meta": {"hostvars": {"h1": {"a": 1, "b": [1, 2.5e3, null, true], "c": {"d": "\u00e9\ud83d\ude00"}}}}, "web": {"hosts": ["h1", "h2"], "vars": {"x": "y"}, "children": ["db"]}, "db": ["h3"], "all": {"children": ["web"]}}"#,
];

const PLANS: &[&str] = &[include_str!("../tests/fuzz/saved_plan.json")];

fn context() -> Context {
    let engine = Engine::new(EngineOptions { env: Some([].into()), ..EngineOptions::default() });
    Context::new(&engine, vec![], Arc::new(SearchPaths::default()))
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn damaged_yaml(seed in seeds(YAML), damages in damage()) {
        judge(seed, &damages, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(loaded) = crate::yaml::parse_text("<damaged>", &text) {
                for node in &loaded.documents {
                    let value = node.to_value();
                    let _ = crate::yaml::emit(&value, &crate::yaml::EmitOptions::nice());
                }
            }
        })?;
    }

    #[test]
    fn damaged_templates(seed in seeds(TEMPLATES), damages in damage()) {
        judge(seed, &damages, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let file = SourceFile::new("<damaged>", text.as_ref());
            let node = Node::text(text.as_ref(), &Span::of_file(&file));
            let _ = context().value(&node);
            let _ = context().condition(&node);
        })?;
    }

    #[test]
    fn damaged_settings(seed in seeds(CFG), damages in damage()) {
        let dir = tempfile::tempdir()?;
        judge(seed, &damages, |bytes| {
            for name in ["ansible.cfg", "kdeploy.toml"] {
                std::fs::write(dir.path().join(name), bytes).expect("a file");
                let start = Start { cwd: dir.path().to_owned(), home: None, env: [].into() };
                let _ = Settings::from_start(&start);
                std::fs::remove_file(dir.path().join(name)).expect("a file");
            }
        })?;
    }

    #[test]
    fn damaged_saved_plan(seed in seeds(PLANS), damages in damage()) {
        let dir = tempfile::tempdir()?;
        judge(seed, &damages, |bytes| {
            let path = dir.path().join("plan");
            std::fs::write(&path, bytes).expect("a file");
            let _ = SavedPlan::is_one(&path);
            if let Ok(plan) = SavedPlan::load(&path) {
                let _ = plan.check(&path);
                let _ = plan.guard();
            }
        })?;
    }
}

proptest! {
    #![proptest_config(cases(80))]

    #[test]
    fn damaged_inventory(seed in seeds(INI), damages in damage()) {
        let dir = tempfile::tempdir()?;
        judge(seed, &damages, |bytes| read_inventory(&dir.path().join("hosts"), bytes))?;
    }

    #[test]
    fn damaged_vault(seed in seeds(VAULT), damages in damage()) {
        let secrets = VaultSecrets::new([("default".to_owned(), Source::Given(b"pw".to_vec()))]);
        judge(seed, &damages, |bytes| drop(secrets.decrypt(&String::from_utf8_lossy(bytes))))?;
    }
}

proptest! {
    #![proptest_config(cases(25))]

    #[test]
    fn damaged_dynamic_inventory(seed in seeds(JSON), damages in damage()) {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let script = dir.path().join("hosts");
        std::fs::write(&script, format!("#!/bin/sh\ncat '{}'\n", data.display()))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        judge(seed, &damages, |bytes| {
            std::fs::write(&data, bytes).expect("a file");
            loaded(&script);
        })?;
    }
}

fn read_inventory(path: &Path, bytes: &[u8]) {
    for name in ["hosts", "hosts.yml"] {
        let path = path.with_file_name(name);
        std::fs::write(&path, bytes).expect("a file");
        loaded(&path);
    }
}

fn loaded(path: &Path) {
    if let Ok((inventory, _)) = Inventory::load(&[path.display().to_string()], &LoadOptions::default()) {
        for host in inventory.hosts.keys().take(5) {
            let _ = inventory.scopes_for(host, None);
        }
    }
}
