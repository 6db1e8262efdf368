//! `add_host`: extends the inventory while a playbook runs. The engine acts on the result.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Ready};
use super::{ANY, ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::world::Stop;

const DOC: &str = "\
# add_host

Adds a host to the inventory of this run, with groups and variables. Runs once for all hosts.

## Return values

- `add_host` (mapping): `host_name`, `groups`, `host_vars`

## Examples

    - add_host:
        name: worker7
        groups: [k8s_worker]
        ansible_host: 10.0.0.7

    - add_host: hostname={{ new_ip }}:2222 groups=fresh,debian

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "add_host",
    qualified: &["ansible.builtin.add_host"],
    doc: DOC,
    args: &[
        ArgSpec::new("name", Kind::Str, "Name or address, with `:port` if need be")
            .aliases(&["host", "hostname"])
            .required(),
        ArgSpec::new("groups", Kind::List, "Groups to put it into").aliases(&["group", "groupname"]),
        ArgSpec::new(ANY, Kind::Raw, "Any further variable of the host"),
    ],
    free_form: None,
    conduct: Conduct::Passes,
    build,
};

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let name = args.need("name")?;
    let mut vars: Vec<(String, Value)> = args.extra().map(|(n, v, _)| (n.to_owned(), v.clone())).collect();
    // `host:port` and `[address]:port`; a bare IPv6 address has more than one colon and no port.
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
            match bracketed {
                Some(address) => (address.to_owned(), port.parse::<u16>().ok()),
                None if !host.contains(':') => (host.to_owned(), port.parse::<u16>().ok()),
                None => (name.clone(), None),
            }
        }
        _ => (name.clone(), None),
    };
    if let Some(port) = port {
        vars.push(("ansible_ssh_port".to_owned(), Value::from(port)));
    }
    let groups: Vec<String> = args.list("groups")?.into_iter().filter(|g| !g.is_empty()).collect();
    let added = [
        ("groups".to_owned(), Value::from(groups)),
        ("host_name".to_owned(), Value::from(host)),
        ("host_vars".to_owned(), kit::map(vars)),
    ];
    let result = TaskResult::changed().with("add_host", kit::map(added));
    Ok(Ready::boxed(Ok(Verdict::Unchanged(result))))
}
