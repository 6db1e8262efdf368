//! `service_facts`: the node's services as facts.

use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;

use super::kit::{self};
use super::{Conduct, Resource, ResourceType, TaskResult, Verdict};
use crate::world::{Query, Stop, View};

const DOC: &str = "\
# service_facts

Lists the node's services as facts.

## Return values

- `ansible_facts.services` (mapping): by name, each with `name`, `state`, `status`, `source`

## Examples

    - service_facts:

    - debug:
        msg: \"{{ ansible_facts.services['containerd.service'].state }}\"

## Differences from Ansible

Services of systemd and OpenRC; not of upstart and AIX.
";

/// `service_facts`.
pub static TYPE: ResourceType = ResourceType {
    name: "service_facts",
    qualified: &["ansible.builtin.service_facts"],
    doc: DOC,
    args: &[],
    free_form: None,
    conduct: Conduct::Looks,
    build: |_, _| Ok(Arc::new(Services)),
};

struct Services;

const LIST: &[&str] =
    &["systemctl", "list-units", "--no-pager", "--type", "service", "--all", "--plain", "--no-legend"];

const LIST_FILES: &[&str] =
    &["systemctl", "list-unit-files", "--no-pager", "--type", "service", "--all", "--no-legend"];

const LIST_OPENRC: &[&str] = &["rc-status", "-a", "-s", "-r"];

impl Resource for Services {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let read = |argv: &[&str]| Query::Read { argv: argv.iter().map(|s| (*s).to_owned()).collect() };
        world.want([read(LIST), read(LIST_FILES), read(LIST_OPENRC)]);
        let units = world.read(LIST.iter().copied())?;
        let files = world.read(LIST_FILES.iter().copied())?;
        let openrc = world.read(LIST_OPENRC.iter().copied())?;
        let mut services: IndexMap<String, [String; 3]> = IndexMap::new();
        for line in units.text().lines() {
            let fields: Vec<&str> = line.trim_start_matches(['●', '*', ' ']).split_whitespace().collect();
            let [name, load, _active, sub, ..] = fields[..] else { continue };
            let bad = ["not-found", "masked", "failed"].iter().find(|b| load == **b || fields[2] == **b || sub == **b);
            let state = if sub == "running" { "running" } else { "stopped" };
            let status = bad.map_or("unknown", |b| b);
            services.insert(name.to_owned(), [state.to_owned(), status.to_owned(), "systemd".to_owned()]);
        }
        for line in files.text().lines() {
            let mut fields = line.split_whitespace();
            let (Some(name), Some(status)) = (fields.next(), fields.next()) else { continue };
            match services.get_mut(name) {
                Some(entry) if entry[1] == "unknown" => status.clone_into(&mut entry[1]),
                Some(_) => {}
                None => {
                    let state = if name.ends_with("@.service") { "unknown" } else { "inactive" };
                    services.insert(name.to_owned(), [state, status, "systemd"].map(str::to_owned));
                }
            }
        }
        if units.rc != 0 && openrc.rc == 0 {
            for line in openrc.text().lines() {
                // ` NAME [ started ]`
                let Some((name, state)) = line.split_once('[') else { continue };
                let state = state.trim_matches([' ', ']']).split_whitespace().next().unwrap_or("unknown");
                let state = if state == "started" { "running" } else { state };
                services.insert(name.trim().to_owned(), [state, "unknown", "openrc"].map(str::to_owned));
            }
        }
        let entries = services.into_iter().map(|(name, [state, status, source])| {
            let entry = [
                ("name".to_owned(), Value::from(name.as_str())),
                ("source".to_owned(), Value::from(source)),
                ("state".to_owned(), Value::from(state)),
                ("status".to_owned(), Value::from(status)),
            ];
            (name, kit::map(entry))
        });
        let facts = kit::map([("services".to_owned(), kit::map(entries))]);
        Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", facts)))
    }
}
