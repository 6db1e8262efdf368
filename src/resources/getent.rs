//! `getent`: entries of the node's name databases as facts.

use std::sync::Arc;

use minijinja::Value;

use super::kit;
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::template::Unknown;
use crate::world::{Query, Stop, View};

const DOC: &str = "\
# getent

Reads users, groups, hosts and other databases through the node's `getent`.

## Return values

- `ansible_facts.getent_DATABASE` (mapping): by name, the list of the other fields; null for a missing key

## Examples

    - getent:
        database: passwd
        key: kube

    - getent:
        database: group
        fail_key: false
        key: docker

## Differences from Ansible

None known.
";

pub static TYPE: ResourceType = ResourceType {
    name: "getent",
    qualified: &["ansible.builtin.getent"],
    doc: DOC,
    args: &[
        ArgSpec::new("database", Kind::Str, "passwd, group, shadow, hosts, services …").required(),
        ArgSpec::new("key", Kind::Str, "One entry instead of all"),
        ArgSpec::new("service", Kind::Str, "Ask only this service of nsswitch.conf"),
        ArgSpec::new("split", Kind::Str, "What separates the fields"),
        ArgSpec::new("fail_key", Kind::Bool, "A missing key is a failure").default("true"),
    ],
    free_form: None,
    conduct: Conduct::Looks,
    build,
};

struct Getent {
    database: String,
    key: Option<String>,
    service: Option<String>,
    split: Option<String>,
    fail_key: bool,
}

fn build(args: Args, _setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let database = args.need("database")?;
    let colons = ["passwd", "shadow", "group", "gshadow"].contains(&database.as_str());
    let split = args.str("split")?.or_else(|| colons.then(|| ":".to_owned()));
    Ok(Arc::new(Getent {
        key: args.str("key")?,
        service: args.str("service")?,
        split,
        fail_key: args.flag("fail_key")?,
        database,
    }))
}

impl Getent {
    /// One user or group by the typed questions, which earlier steps of a plan may answer. `None`: not such a case; the inner `None`: it
    /// will be gone.
    #[expect(clippy::option_option, reason = "gone and not foretold are two things")]
    fn predicted(&self, world: &View) -> Result<Option<Option<Vec<Value>>>, Stop> {
        let Some(key) = self.key.as_ref().filter(|_| self.service.is_none()) else { return Ok(None) };
        let id = |n: u32| match n {
            super::group::UNASSIGNED => Unknown::after_step(format!("the making of {key}")).into_value(),
            n => Value::from(n.to_string()),
        };
        let text = |t: &str| Value::from(t);
        Ok(match self.database.as_str() {
            "passwd" if world.is_predicted(&Query::Account { name: key.clone() }) => Some(
                world
                    .account(key)?
                    .map(|a| vec![text("x"), id(a.uid), id(a.gid), text(&a.comment), text(&a.home), text(&a.shell)]),
            ),
            "group" if world.is_predicted(&Query::Group { name: key.clone() }) => {
                Some(world.group(key)?.map(|g| vec![text("x"), id(g.gid), text(&g.members.join(","))]))
            }
            _ => None,
        })
    }
}

impl Resource for Getent {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let predicted = self.predicted(world)?;
        if let Some(Some(fields)) = predicted {
            let entry = kit::map([(self.key.clone().unwrap_or_default(), Value::from(fields))]);
            let facts = kit::map([(format!("getent_{}", self.database), entry)]);
            return Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", facts)));
        }
        let mut argv = vec!["getent".to_owned()];
        if let Some(service) = &self.service {
            argv.extend(["-s".to_owned(), service.clone()]);
        }
        argv.push(self.database.clone());
        argv.extend(self.key.clone());
        let output = match predicted {
            Some(_) => crate::world::Output { rc: 2, ..crate::world::Output::default() },
            None => world.read(argv)?,
        };
        let facts =
            |entries: Vec<(String, Value)>| kit::map([(format!("getent_{}", self.database), kit::map(entries))]);
        match output.rc {
            0 => {
                let mut entries: Vec<(String, Value)> = vec![];
                for line in output.text().lines() {
                    let mut fields = match &self.split {
                        Some(split) if !split.is_empty() => line.split(split.as_str()).collect::<Vec<_>>(),
                        _ => line.split_whitespace().collect(),
                    }
                    .into_iter()
                    .map(str::to_owned);
                    let Some(name) = fields.next() else { continue };
                    let rest = Value::from(fields.collect::<Vec<String>>());
                    entries.retain(|(known, _)| *known != name);
                    entries.push((name, rest));
                }
                Ok(Verdict::Unchanged(TaskResult::unchanged().with("ansible_facts", facts(entries))))
            }
            1 => Ok(kit::failed("Missing arguments, or database unknown.")),
            2 => {
                let msg = "One or more supplied key could not be found in the database.";
                if self.fail_key {
                    return Ok(kit::failed(msg));
                }
                let key = self.key.clone().unwrap_or_default();
                Ok(Verdict::Unchanged(
                    TaskResult::unchanged().with("ansible_facts", facts(vec![(key, Value::from(()))])).with("msg", msg),
                ))
            }
            3 => Ok(kit::failed("Enumeration not supported on this database.")),
            _ => Ok(kit::failed(format!("getent failed: {}", output.error_text().trim()))),
        }
    }
}
