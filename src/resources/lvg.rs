//! `lvg`: volume groups of LVM. The manual is doc/lvg.md.

use std::sync::Arc;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "lvg",
    qualified: &["community.general.lvg"],
    doc: include_str!("doc/lvg.md"),
    args: &[
        ArgSpec::new("vg", Kind::Str, "Name of the group").required(),
        ArgSpec::new("pvs", Kind::List, "Its devices"),
        ArgSpec::new("state", Kind::Str, "Whether it is there, and active")
            .default("present")
            .choices(&["absent", "active", "inactive", "present"]),
        ArgSpec::new("pesize", Kind::Str, "Size of an extent: a number (MiB), or with a unit").default("4"),
        ArgSpec::new("pv_options", Kind::Str, "Options for pvcreate").default(""),
        ArgSpec::new("vg_options", Kind::Str, "Options for vgcreate").default(""),
        ArgSpec::new("pvresize", Kind::Bool, "Let its devices be used to their whole size").default("false"),
        ArgSpec::new("force", Kind::Bool, "Remove a group that has volumes").default("false"),
        ArgSpec::new("remove_extra_pvs", Kind::Bool, "Take out devices that `pvs` does not name").default("true"),
        ArgSpec::new("reset_vg_uuid", Kind::Bool, "Give it a new UUID").default("false"),
        ArgSpec::new("reset_pv_uuid", Kind::Bool, "Give its devices new UUIDs").default("false"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Lvg {
    vg: String,
    pvs: Vec<String>,
    state: String,
    pesize: String,
    pv_options: Vec<String>,
    vg_options: Vec<String>,
    pvresize: bool,
    force: bool,
    remove_extra: bool,
    reset_vg: bool,
    reset_pv: bool,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let words = |name: &str| -> Result<Vec<String>, Stop> {
        Ok(kit::split_words(&args.str(name)?.unwrap_or_default())
            .map_err(|why| super::common::invalid(why).at(args.span(name)))?)
    };
    let task = Task::of(setting);
    Ok(Arc::new(Lvg {
        vg: args.need("vg")?,
        pvs: args.list("pvs")?.iter().map(|p| task.path(p)).collect(),
        state: args.need("state")?,
        pesize: args.need("pesize")?,
        pv_options: words("pv_options")?,
        vg_options: words("vg_options")?,
        pvresize: args.flag("pvresize")?,
        force: args.flag("force")?,
        remove_extra: args.bool("remove_extra_pvs")?.unwrap_or(true),
        reset_vg: args.flag("reset_vg_uuid")?,
        reset_pv: args.flag("reset_pv_uuid")?,
        task,
    }))
}

/// `PV;VG;device bytes;used bytes`.
const PVS: &str = "pv_name,vg_name,dev_size,pv_size";

fn vgs(vg: &str) -> Vec<String> {
    let select = format!("vg_name={vg}");
    ["vgs", "--noheadings", "--separator", ";", "-o", "vg_name,lv_count", "--select", &select]
        .map(str::to_owned)
        .to_vec()
}

/// How many of the group's volumes are active.
fn active(vg: &str) -> Vec<String> {
    ["lvs", "--noheadings", "-o", "lv_active", vg].map(str::to_owned).to_vec()
}

fn pvs() -> Vec<String> {
    ["pvs", "--noheadings", "--nosuffix", "--units", "b", "--separator", ";", "-o", PVS].map(str::to_owned).to_vec()
}

impl Lvg {
    /// The devices as the kernel names them: `/dev/disk/by-id/…` is a link.
    fn devices(&self, world: &View) -> Result<Result<Vec<String>, Verdict>, Stop> {
        let mut found = vec![];
        for pv in &self.pvs {
            let Some(stat) = world.stat(pv, true)? else {
                return Ok(Err(kit::failed(format!("Device {pv} not found."))));
            };
            found.push((pv.clone(), stat.real.clone().unwrap_or_else(|| pv.clone())));
        }
        Ok(Ok(found
            .into_iter()
            .map(|(written, real)| if written.starts_with("/dev/mapper/") { written } else { real })
            .collect()))
    }
}

impl Resource for Lvg {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let (vgs, all) = (vgs(&self.vg), pvs());
        world.want([query(&vgs), query(&all)]);
        world.want(self.pvs.iter().map(|p| Query::Stat { path: p.clone(), follow: true }));
        let output = world.read(vgs.clone())?;
        if output.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"vgs\" on the node".to_owned()));
        }
        let text = output.text();
        let group = text.lines().map(str::trim).find(|l| l.split(';').next() == Some(&self.vg));
        let volumes: u32 = group.and_then(|l| l.split(';').nth(1)).and_then(|n| n.parse().ok()).unwrap_or(0);
        let listing = world.read(all.clone())?.text();
        let rows: Vec<Vec<&str>> = listing.lines().map(|l| l.trim().split(';').collect()).collect();
        let members: Vec<String> =
            rows.iter().filter(|r| r.get(1) == Some(&self.vg.as_str())).map(|r| r[0].to_owned()).collect();
        let mut edit = Edit::default();
        let result = TaskResult::unchanged();
        let title = format!("volume group {}", self.vg);
        let show = |list: &[String]| list.iter().map(|p| format!("{p}\n")).collect::<String>();
        if self.state == "absent" {
            if group.is_none() {
                return Ok(Verdict::Unchanged(result));
            }
            if volumes > 0 && !self.force {
                return Ok(kit::failed(format!(
                    "Refuse to remove non-empty volume group {} without force=true",
                    self.vg
                )));
            }
            edit.actions.push(self.task.exec(["vgremove", "--force", &self.vg]));
            edit.removed = true;
            edit.diff.push(kit::diff(&title, show(&members), ""));
            edit.effect(query(&vgs), said(0, String::new()));
            let rest = without(&listing, |row| row.get(1) == Some(&self.vg.as_str()));
            edit.effect(query(&all), said(0, rest));
            return Ok(edit.verdict(result));
        }
        let wanted = match self.devices(world)? {
            Ok(devices) => devices,
            Err(verdict) => return Ok(verdict),
        };
        let Some(_) = group else {
            if wanted.is_empty() {
                return Ok(kit::failed("No physical volumes given."));
            }
            for pv in &wanted {
                let used = rows.iter().find(|r| r[0] == pv && r.get(1).is_some_and(|v| !v.is_empty()));
                if let Some(row) = used {
                    return Ok(kit::failed(format!("Device {pv} is already in {} volume group.", row[1])));
                }
                if !rows.iter().any(|r| r[0] == pv) {
                    edit.actions.push(self.pvcreate(pv));
                }
            }
            let mut argv = vec!["vgcreate".to_owned()];
            argv.extend(self.vg_options.iter().cloned());
            argv.extend(["-s".to_owned(), self.pesize.clone(), self.vg.clone()]);
            argv.extend(wanted.iter().cloned());
            edit.actions.push(self.task.exec(argv));
            edit.created = true;
            edit.diff.push(kit::diff(&title, "", show(&wanted)));
            edit.effect(query(&vgs), said(0, format!("  {};0\n", self.vg)));
            let mut rest = without(&listing, |row| wanted.iter().any(|p| row[0] == p));
            for pv in &wanted {
                rest.push_str(&format!("  {pv};{};0;0\n", self.vg));
            }
            edit.effect(query(&all), said(0, rest));
            if self.state == "inactive" {
                edit.actions.push(self.task.exec(["vgchange", "--activate", "n", &self.vg]));
            }
            return Ok(edit.verdict(result));
        };
        let mut after = listing.clone();
        if !wanted.is_empty() {
            let missing: Vec<String> = wanted.iter().filter(|p| !members.contains(p)).cloned().collect();
            let extra: Vec<String> = if self.remove_extra {
                members.iter().filter(|p| !wanted.contains(p)).cloned().collect()
            } else {
                vec![]
            };
            for pv in &missing {
                if let Some(row) = rows.iter().find(|r| r[0] == pv && r.get(1).is_some_and(|v| !v.is_empty())) {
                    return Ok(kit::failed(format!("Device {pv} is already in {} volume group.", row[1])));
                }
                if !rows.iter().any(|r| r[0] == pv) {
                    edit.actions.push(self.pvcreate(pv));
                }
            }
            if !missing.is_empty() {
                edit.actions
                    .push(self.task.exec(["vgextend".to_owned(), self.vg.clone()].into_iter().chain(missing.clone())));
            }
            if !extra.is_empty() {
                edit.actions.push(
                    self.task
                        .exec(["vgreduce", "--force", &self.vg].map(str::to_owned).into_iter().chain(extra.clone())),
                );
            }
            if !missing.is_empty() || !extra.is_empty() {
                let now: Vec<String> = members.iter().filter(|p| !extra.contains(p)).chain(&missing).cloned().collect();
                edit.diff.push(kit::diff(&title, show(&members), show(&now)));
                after = without(&listing, |row| wanted.iter().chain(&extra).any(|p| row[0] == p));
                for pv in &now {
                    after.push_str(&format!("  {pv};{};0;0\n", self.vg));
                }
            }
        }
        if self.pvresize {
            for row in &rows {
                let number = |i: usize| row.get(i).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
                // LVM keeps 1 MiB for itself, and one extent may not fill up.
                let is_short = row.get(1) == Some(&self.vg.as_str()) && number(3) + (8 << 20) <= number(2);
                if is_short && (wanted.is_empty() || wanted.iter().any(|p| row[0] == p)) {
                    edit.actions.push(self.task.exec(["pvresize", row[0]]));
                    edit.diff.push(kit::diff(
                        row[0],
                        format!("{} bytes\n", number(3)),
                        format!("{} bytes\n", number(2)),
                    ));
                    after = without(&after, |r| r[0] == row[0]);
                    after.push_str(&format!("  {};{};{};{}\n", row[0], self.vg, number(2), number(2)));
                }
            }
        }
        if after != listing {
            edit.effect(query(&all), said(0, after));
        }
        if self.state == "active" || self.state == "inactive" {
            let argv = active(&self.vg);
            let text = world.read(argv.clone())?.text();
            let is_active = |l: &str| l.trim() == "active";
            let (on, off) = (text.lines().any(is_active), text.lines().any(|l| !l.trim().is_empty() && !is_active(l)));
            let to = self.state == "active";
            if to && off || !to && on {
                edit.actions.push(self.task.exec(["vgchange", "--activate", if to { "y" } else { "n" }, &self.vg]));
                edit.diff.push(kit::diff(
                    &title,
                    if to { "inactive\n" } else { "active\n" },
                    if to { "active\n" } else { "inactive\n" },
                ));
                let word = if to { "  active\n" } else { "\n" };
                edit.effect(query(&argv), said(0, word.repeat(text.lines().count())));
            }
        }
        // A new UUID is an order, not a state: given each time, as in Ansible.
        if self.reset_pv {
            let targets = if wanted.is_empty() { &members } else { &wanted };
            edit.actions.extend(targets.iter().map(|pv| self.task.exec(["pvchange", "-u", pv])));
        }
        if self.reset_vg {
            edit.actions.push(self.task.exec(["vgchange", "-u", &self.vg]));
        }
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, &self.vg)
    }

    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        super::Inverse::impossible("volumes may hold data")
    }
}

impl Lvg {
    fn pvcreate(&self, pv: &str) -> crate::node::Action {
        let mut argv = vec!["pvcreate".to_owned()];
        argv.extend(self.pv_options.iter().cloned());
        argv.extend(["-f".to_owned(), pv.to_owned()]);
        self.task.exec(argv)
    }
}

fn without(listing: &str, gone: impl Fn(&[&str]) -> bool) -> String {
    listing.lines().filter(|l| !gone(&l.trim().split(';').collect::<Vec<_>>())).map(|l| format!("{l}\n")).collect()
}
