//! `lvol`: logical volumes of LVM. The manual is doc/lvol.md.

use std::sync::Arc;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "lvol",
    qualified: &["community.general.lvol"],
    doc: include_str!("doc/lvol.md"),
    args: &[
        ArgSpec::new("vg", Kind::Str, "The volume group").required(),
        ArgSpec::new("lv", Kind::Str, "Name of the volume"),
        ArgSpec::new("size", Kind::Str, "`512` (MiB), `10G`, `+5G`, `100%FREE`, `40%VG`, `50%PVS`"),
        ArgSpec::new("state", Kind::Str, "Whether it is there").default("present").choices(&["absent", "present"]),
        ArgSpec::new("active", Kind::Bool, "Whether it can be used").default("true"),
        ArgSpec::new("force", Kind::Bool, "Allow it to shrink or to be removed").default("false"),
        ArgSpec::new("shrink", Kind::Bool, "Let it shrink where `size` is less").default("true"),
        ArgSpec::new("resizefs", Kind::Bool, "Resize its file system with it").default("false"),
        ArgSpec::new("snapshot", Kind::Str, "Name of a snapshot of `lv`"),
        ArgSpec::new("thinpool", Kind::Str, "The thin pool it is in, or (without `lv`) is to be"),
        ArgSpec::new("pvs", Kind::List, "Devices it lies on"),
        ArgSpec::new("opts", Kind::Str, "Options for lvcreate"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    To,
    By,
    Less,
}

/// A size as asked for.
#[derive(Debug, Clone, PartialEq)]
enum Size {
    Bytes(Sign, f64, String),
    /// Per cent of `VG`, `FREE`, `PVS` or `ORIGIN`.
    Part(Sign, f64, String),
}

fn size(text: &str) -> Option<Size> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (Sign::By, &text[1..]),
        b'-' => (Sign::Less, &text[1..]),
        _ => (Sign::To, text),
    };
    if let Some((number, whole)) = rest.split_once('%') {
        let whole = whole.to_uppercase();
        let percent: f64 = number.parse().ok()?;
        if !matches!(whole.as_str(), "VG" | "PVS" | "FREE" | "ORIGIN") || !(0.0..=100.0).contains(&percent) {
            return None;
        }
        return Some(Size::Part(sign, percent, whole));
    }
    let unit = rest.chars().last()?;
    let (number, unit) = if unit.is_ascii_digit() { (rest, 'm') } else { (&rest[..rest.len() - 1], unit) };
    let number: f64 = number.parse().ok().filter(|n| *n >= 0.0)?;
    let factor = match unit {
        'b' | 'B' => 1.0,
        's' | 'S' => 512.0,
        _ => {
            // A small letter counts in powers of 1024, a capital one in powers of 1000, as LVM has it; Ansible hands both on.
            let power = "kmgtpe".find(unit.to_ascii_lowercase())?;
            1024f64.powi(i32::try_from(power).ok()? + 1)
        }
    };
    Some(Size::Bytes(
        sign,
        number * factor,
        rest.to_owned() + if rest.ends_with(|c: char| c.is_ascii_digit()) { "m" } else { "" },
    ))
}

struct Lvol {
    vg: String,
    lv: Option<String>,
    size: Option<(Size, String)>,
    present: bool,
    active: bool,
    force: bool,
    shrink: bool,
    resizefs: bool,
    snapshot: Option<String>,
    thinpool: Option<String>,
    pvs: Vec<String>,
    opts: Vec<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let invalid = |what: &str, name: &str| super::common::invalid(what.to_owned()).at(args.span(name));
    let written = args.str("size")?;
    let parsed = match &written {
        None => None,
        Some(text) => Some((
            size(text).ok_or_else(|| {
                invalid(&format!("`{text}` is no size of a volume"), "size")
                    .help("write `512m`, `10g`, `+5g` or `100%FREE`")
            })?,
            text.clone(),
        )),
    };
    let (lv, thinpool, snapshot) = (args.str("lv")?, args.str("thinpool")?, args.str("snapshot")?);
    if lv.is_none() && thinpool.is_none() {
        return Err(invalid("`lvol` needs `lv` or `thinpool`", "vg").into());
    }
    if snapshot.is_some() && lv.is_none() {
        return Err(invalid("`snapshot` needs `lv`", "snapshot").into());
    }
    Ok(Arc::new(Lvol {
        vg: args.need("vg")?,
        lv,
        size: parsed,
        present: args.need("state")? == "present",
        active: args.bool("active")?.unwrap_or(true),
        force: args.flag("force")?,
        shrink: args.bool("shrink")?.unwrap_or(true),
        resizefs: args.flag("resizefs")?,
        snapshot,
        thinpool,
        pvs: args.list("pvs")?,
        opts: kit::split_words(&args.str("opts")?.unwrap_or_default()).map_err(|why| invalid(why, "opts"))?,
        task: Task::of(setting),
    }))
}

/// `NAME;bytes;active;pool;origin` of each volume.
fn lvs(vg: &str) -> Vec<String> {
    let columns = "lv_name,lv_size,lv_active,pool_lv,origin";
    ["lvs", "-a", "--noheadings", "--nosuffix", "--units", "b", "--separator", ";", "-o", columns, vg]
        .map(str::to_owned)
        .to_vec()
}

/// `bytes;free bytes;bytes of an extent` of the group.
fn vgs(vg: &str) -> Vec<String> {
    let columns = "vg_size,vg_free,vg_extent_size";
    ["vgs", "--noheadings", "--nosuffix", "--units", "b", "--separator", ";", "-o", columns, vg]
        .map(str::to_owned)
        .to_vec()
}

impl Lvol {
    /// The name this task is about.
    fn name(&self) -> &str {
        self.snapshot.as_deref().or(self.lv.as_deref()).or(self.thinpool.as_deref()).unwrap_or_default()
    }

    fn create(&self) -> Vec<String> {
        let mut argv: Vec<String> = vec!["lvcreate".to_owned(), "--yes".to_owned()];
        let mut add = |words: &[&str]| argv.extend(words.iter().map(|w| (*w).to_owned()));
        if let Some((size, written)) = &self.size {
            let virtual_size = self.thinpool.is_some() && self.lv.is_some();
            match size {
                Size::Part(_, _, _) => add(&["-l", written]),
                Size::Bytes(_, _, text) => add(&[if virtual_size { "-V" } else { "-L" }, text]),
            }
        }
        match (&self.snapshot, &self.lv, &self.thinpool) {
            (Some(snapshot), Some(lv), _) => add(&["-s", "-n", snapshot, &format!("{}/{lv}", self.vg)]),
            (_, Some(lv), Some(pool)) => add(&["-n", lv, "-T", &format!("{}/{pool}", self.vg)]),
            (_, None, Some(pool)) => add(&["-T", &format!("{}/{pool}", self.vg)]),
            (_, lv, None) => add(&["-n", lv.as_deref().unwrap_or_default(), &self.vg]),
        }
        argv.extend(self.pvs.iter().cloned());
        argv.extend(self.opts.iter().cloned());
        argv
    }
}

impl Resource for Lvol {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let (lvs, vgs) = (lvs(&self.vg), vgs(&self.vg));
        world.want([query(&lvs), query(&vgs)]);
        let group = world.read(vgs.clone())?;
        if group.rc == 127 {
            return Err(Stop::Failed("Failed to find required executable \"vgs\" on the node".to_owned()));
        }
        let result = TaskResult::unchanged();
        if group.rc != 0 {
            let msg = format!("Volume group {} does not exist.", self.vg);
            if self.present {
                return Ok(Verdict::Failed(
                    result.with("rc", group.rc).with("err", group.error_text()).with("msg", msg),
                ));
            }
            return Ok(Verdict::Unchanged(result.with("stdout", msg)));
        }
        let text = group.text();
        let figures: Vec<f64> = text.trim().split(';').map(|n| n.parse().unwrap_or(0.0)).collect();
        let [total, free, extent] = figures[..] else {
            return Ok(kit::failed(format!("vgs said `{}` of {}", text.trim(), self.vg)));
        };
        let listing = world.read(lvs.clone())?.text();
        let rows: Vec<Vec<&str>> = listing.lines().map(|l| l.trim().split(';').collect()).collect();
        let name = self.name();
        let row = |wanted: &str| rows.iter().find(|r| r.first().is_some_and(|n| n.trim_matches(['[', ']']) == wanted));
        let now = row(name);
        let path = format!("{}/{name}", self.vg);
        let title = format!("logical volume {path}");
        let bytes = |n: f64| format!("{n:.0} bytes\n");
        let mut edit = Edit::default();
        let others = |extra: Option<String>| -> String {
            listing
                .lines()
                .filter(|l| l.trim().split(';').next() != Some(name))
                .map(|l| format!("{l}\n"))
                .chain(extra)
                .collect()
        };
        let Some(now) = now else {
            if !self.present {
                return Ok(Verdict::Unchanged(result));
            }
            let Some((size, _)) = &self.size else {
                if self.snapshot.is_some() {
                    // A snapshot of a thin volume needs none.
                    edit.actions.push(self.task.exec(self.create()));
                    edit.created = true;
                    edit.effect(query(&lvs), said(0, others(Some(format!("  {name};0;active;;\n")))));
                    return Ok(edit.verdict(result));
                }
                return Ok(kit::failed(format!("No size given, and {path} does not exist.")));
            };
            if let (Some(lv), Some(_)) = (&self.lv, &self.snapshot)
                && row(lv).is_none()
            {
                return Ok(kit::failed(format!("Snapshot origin LV {lv} does not exist in volume group {}.", self.vg)));
            }
            let wanted = match size {
                Size::Bytes(Sign::To, n, _) => rounded(*n, extent),
                Size::Part(Sign::To, percent, whole) => {
                    let of = if whole == "FREE" { free } else { total };
                    (of * percent / 100.0 / extent).floor() * extent
                }
                _ => {
                    return Ok(kit::failed(format!(
                        "Bad size specification: {path} does not exist, so it cannot grow or shrink"
                    )));
                }
            };
            edit.actions.push(self.task.exec(self.create()));
            if !self.active {
                edit.actions.push(self.task.exec(["lvchange", "-an", &path]));
            }
            edit.created = true;
            edit.diff.push(kit::diff(&title, "", bytes(wanted)));
            let state = if self.active { "active" } else { "" };
            let pool = self.thinpool.as_deref().filter(|_| self.lv.is_some()).unwrap_or_default();
            edit.effect(query(&lvs), said(0, others(Some(format!("  {name};{wanted:.0};{state};{pool};\n")))));
            let taken = if pool.is_empty() { free - wanted } else { free };
            edit.effect(query(&vgs), said(0, format!("  {total:.0};{taken:.0};{extent:.0}\n")));
            return Ok(edit.verdict(result));
        };
        if !self.present {
            if !self.force {
                return Ok(kit::failed(format!("Sorry, no removal of logical volume {name} without force=true.")));
            }
            edit.actions.push(self.task.exec(["lvremove", "--force", &path]));
            edit.removed = true;
            let had: f64 = now.get(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
            edit.diff.push(kit::diff(&title, bytes(had), ""));
            edit.effect(query(&lvs), said(0, others(None)));
            edit.effect(query(&vgs), said(0, format!("  {total:.0};{:.0};{extent:.0}\n", free + had)));
            return Ok(edit.verdict(result));
        }
        let had: f64 = now.get(1).and_then(|n| n.parse().ok()).unwrap_or(0.0);
        let mut has = had;
        let mut is_active = now.get(2).is_some_and(|a| a.trim() == "active");
        if let Some((size, written)) = &self.size {
            let step = |n: f64| rounded(n, extent);
            let (wanted, words) = match size {
                Size::Bytes(Sign::To, n, text) => (step(*n), ["-L".to_owned(), text.clone()]),
                Size::Bytes(Sign::By, n, text) => (had + step(*n), ["-L".to_owned(), format!("+{text}")]),
                Size::Bytes(Sign::Less, n, text) => (had - step(*n), ["-L".to_owned(), format!("-{text}")]),
                Size::Part(sign, percent, whole) => {
                    let part = match whole.as_str() {
                        // What is free counts on top of what it has.
                        "FREE" if *sign == Sign::To => (had + free) * percent / 100.0,
                        "FREE" => free * percent / 100.0,
                        _ => total * percent / 100.0,
                    };
                    let part = (part / extent).floor() * extent;
                    let wanted = match sign {
                        Sign::To => part,
                        Sign::By => had + part,
                        Sign::Less => had - part,
                    };
                    let words = if whole == "FREE" && *sign == Sign::To {
                        ["-l".to_owned(), format!("{:.0}", wanted / extent)]
                    } else {
                        ["-l".to_owned(), written.clone()]
                    };
                    (wanted, words)
                }
            };
            let extents = |n: f64| (n / extent).round();
            if extents(wanted) > extents(had) {
                if wanted - had > free && self.thinpool.is_none() {
                    return Ok(kit::failed(format!(
                        "Logical Volume {name} could not be extended. Not enough free space left ({:.0} required / {free:.0} available)",
                        wanted - had
                    )));
                }
                let mut argv = vec!["lvextend".to_owned()];
                argv.extend(self.resizefs.then(|| "--resizefs".to_owned()));
                argv.extend(words);
                argv.push(path.clone());
                argv.extend(self.pvs.iter().cloned());
                edit.actions.push(self.task.exec(argv));
                has = wanted;
            } else if extents(wanted) < extents(had) && self.shrink {
                if wanted <= 0.0 {
                    return Ok(kit::failed(format!("Sorry, no shrinking of {name} to 0 permitted.")));
                }
                if !self.force {
                    return Ok(kit::failed(format!("Sorry, no shrinking of {name} without force=true.")));
                }
                let mut argv = vec!["lvreduce".to_owned(), "--force".to_owned()];
                argv.extend(self.resizefs.then(|| "--resizefs".to_owned()));
                argv.extend(words);
                argv.push(path.clone());
                edit.actions.push(self.task.exec(argv));
                has = wanted;
            }
        }
        if is_active != self.active && self.snapshot.is_none() {
            edit.actions.push(self.task.exec(["lvchange", if self.active { "-ay" } else { "-an" }, &path]));
            is_active = self.active;
        }
        if !edit.is_empty() {
            let was = now.get(2).is_some_and(|a| a.trim() == "active");
            let show = |n: f64, on: bool| format!("{}{}", bytes(n), if on { "active\n" } else { "inactive\n" });
            edit.diff.push(kit::diff(&title, show(had, was), show(has, is_active)));
            // Growing by so much is an order: the next run does it again, as in Ansible.
            let row = format!("  {name};{has:.0};{};;\n", if is_active { "active" } else { "" });
            edit.effect(query(&lvs), said(0, others(Some(row))));
            edit.effect(query(&vgs), said(0, format!("  {total:.0};{:.0};{extent:.0}\n", free - (has - had))));
        }
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        concluded(change, done, self.name())
    }

    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        super::Inverse::impossible("volumes may hold data")
    }
}

/// Up to whole extents.
fn rounded(bytes: f64, extent: f64) -> f64 {
    if extent > 0.0 { (bytes / extent).ceil() * extent } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("512"), Some(Size::Bytes(Sign::To, 512.0 * 1024.0 * 1024.0, "512m".into())));
        assert_eq!(size("+1g"), Some(Size::Bytes(Sign::By, 1024f64.powi(3), "1g".into())));
        assert_eq!(size("100%free"), Some(Size::Part(Sign::To, 100.0, "FREE".into())));
        assert_eq!((size("x"), size("10%XX"), size("")), (None, None, None));
    }
}
