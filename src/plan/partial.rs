//! A registered result of which only a part is known before the step ran.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};

use crate::template::Unknown;
use crate::vars::{Definition, Scope};

/// Known keys as they are; any other key is unknown.
pub struct PartialResult {
    known: IndexMap<String, Value>,
    unknown: Unknown,
}

impl PartialResult {
    pub fn value(known: IndexMap<String, Value>, unknown: Unknown) -> Value {
        Value::from_object(Self { known, unknown })
    }

    /// The same without a key, which is unknown then.
    pub fn without(result: &Value, key: &str, unknown: &Unknown) -> Value {
        let Some(partial) = result.downcast_object_ref::<Self>() else { return result.clone() };
        let mut known = partial.known.clone();
        known.shift_remove(key);
        Self::value(known, unknown.clone())
    }

    /// A result with more keys, partial if it was.
    pub fn extend(result: &Value, extra: IndexMap<String, Value>) -> Value {
        if let Some(unknown) = Unknown::of(result) {
            return Self::value(extra, unknown.clone());
        }
        if let Some(partial) = result.downcast_object_ref::<Self>() {
            let mut known = partial.known.clone();
            known.extend(extra);
            return Self::value(known, partial.unknown.clone());
        }
        let mut map: IndexMap<String, Value> = IndexMap::new();
        if result.kind() == ValueKind::Map {
            for key in result.try_iter().into_iter().flatten() {
                map.insert(crate::resources::text_of(&key), result.get_item(&key).unwrap_or_default());
            }
        }
        map.extend(extra);
        Value::from_pairs(map)
    }
}

impl fmt::Debug for PartialResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.known.iter()).finish()
    }
}

impl Object for PartialResult {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        // A step that is known to run was neither skipped nor unreachable.
        if matches!(name, "skipped" | "unreachable") && self.known.contains_key("changed") {
            return self.known.get(name).cloned();
        }
        Some(self.known.get(name).cloned().unwrap_or_else(|| self.unknown.clone().into_value()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.known.keys().map(|k| Value::from(k.clone())).collect())
    }
}

/// Facts that are on their way: the usual names are pending, so that conditions on them wait instead of failing.
pub fn pending_facts(scope: &Scope) -> Scope {
    let mut scope = scope.clone();
    for name in COMMON_FACTS {
        scope.vars.insert(format!("ansible_{name}"), Definition::Final(Unknown::pending().into_value()));
    }
    scope
}

/// Facts that playbooks read in their injected form.
const COMMON_FACTS: &[&str] = &[
    "all_ipv4_addresses",
    "all_ipv6_addresses",
    "apparmor",
    "architecture",
    "cmdline",
    "date_time",
    "default_ipv4",
    "default_ipv6",
    "distribution",
    "distribution_file_variety",
    "distribution_major_version",
    "distribution_release",
    "distribution_version",
    "dns",
    "domain",
    "env",
    "fqdn",
    "hostname",
    "interfaces",
    "is_chroot",
    "kernel",
    "kernel_version",
    "local",
    "lsb",
    "machine",
    "machine_id",
    "memfree_mb",
    "memory_mb",
    "memtotal_mb",
    "mounts",
    "nodename",
    "os_family",
    "pkg_mgr",
    "processor",
    "processor_cores",
    "processor_count",
    "processor_vcpus",
    "product_name",
    "python_version",
    "selinux",
    "service_mgr",
    "swaptotal_mb",
    "system",
    "uptime_seconds",
    "user_dir",
    "user_id",
    "userspace_architecture",
    "virtualization_role",
    "virtualization_type",
];
