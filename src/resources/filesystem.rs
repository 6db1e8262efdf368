//! `filesystem`: file systems on block devices. The manual is doc/filesystem.md.

use std::sync::Arc;

use super::common::tools::{concluded, query, said};
use super::edits::Edit;
use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{FileKind, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "filesystem",
    qualified: &["community.general.filesystem"],
    doc: include_str!("doc/filesystem.md"),
    args: &[
        ArgSpec::new("dev", Kind::Path, "The device, or a regular file").required().aliases(&["device"]),
        ArgSpec::new("fstype", Kind::Str, "Which file system; needed for `state: present`").aliases(&["type"]).choices(
            &[
                "bcachefs", "btrfs", "ext2", "ext3", "ext4", "ext4dev", "f2fs", "lvm", "ocfs2", "reiserfs", "swap",
                "ufs", "vfat", "xfs",
            ],
        ),
        ArgSpec::new("state", Kind::Str, "A file system, or none (its signatures are wiped)")
            .default("present")
            .choices(&["absent", "present"]),
        ArgSpec::new("force", Kind::Bool, "Make a new one over another").default("false"),
        ArgSpec::new("resizefs", Kind::Bool, "Let it grow to the size of the device").default("false"),
        ArgSpec::new("opts", Kind::Str, "Options for mkfs"),
        ArgSpec::new("uuid", Kind::Str, "Its UUID, `random`, or (xfs) `generate`"),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct FileSystem {
    dev: String,
    kind: Option<String>,
    present: bool,
    force: bool,
    resize: bool,
    opts: Vec<String>,
    uuid: Option<String>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let task = Task::of(setting);
    let kind = args.str("fstype")?;
    let present = args.need("state")? == "present";
    if present && kind.is_none() {
        return Err(crate::problem::Problem::new(
            "missing-argument",
            "`filesystem` needs `fstype` with `state: present`",
        )
        .at(args.task_span())
        .into());
    }
    let opts = kit::split_words(&args.str("opts")?.unwrap_or_default())
        .map_err(|why| super::common::invalid(why).at(args.span("opts")))?;
    Ok(Arc::new(FileSystem {
        dev: task.path(&args.need("dev")?),
        kind,
        present,
        force: args.flag("force")?,
        resize: args.flag("resizefs")?,
        opts,
        uuid: args.str("uuid")?,
        task,
    }))
}

/// The type by blkid; where there is none (or busybox's, which knows no options), by its plain output.
const TYPE_OF: &str = r#"
if t=$(blkid -c /dev/null -o value -s TYPE -- "$1" 2>/dev/null); then printf '%s\n' "$t"; exit 0; fi
blkid "$1" 2>/dev/null | sed -n 's/.*[ :]TYPE="\([^"]*\)".*/\1/p'
"#;

/// Two numbers: bytes of the device, and bytes the file system (`$2`) takes of it.
const SIZES: &str = r#"
if [ -b "$1" ]; then d=$(blockdev --getsize64 "$1"); else d=$(wc -c <"$1"); fi || exit 1
case $2 in
ext*) f=$(dumpe2fs -h "$1" 2>/dev/null | awk -F: '$1=="Block count"{c=$2} $1=="Block size"{s=$2} END{printf "%.0f", c*s}') ;;
xfs) m=$(awk -v d="$1" '$1==d{print $2; exit}' /proc/mounts); [ -n "$m" ] || { echo "$1 is not mounted" >&2; exit 2; }
  f=$(xfs_info "$m" | awk '/^data/{for(i=1;i<=NF;i++){if($i~/^bsize=/){split($i,b,"=");s=b[2]} if($i~/^blocks=/){split($i,c,"=");n=c[2]+0}}} END{printf "%.0f", n*s}') ;;
btrfs) f=$(btrfs filesystem show --raw "$1" | awk '/size/{print $4; exit}') ;;
lvm) f=$(pvs --noheadings --nosuffix --units b -o dev_size,pv_size "$1" | awk '{printf "%.0f", $2}') ;;
f2fs) f=$(dump.f2fs "$1" 2>/dev/null | awk -F'=' '/total FS sectors/{split($2,a," "); printf "%.0f", a[1]*512}') ;;
swap) f=$d ;;
*) echo "cannot tell the size of $2" >&2; exit 3 ;;
esac
echo "$d ${f:-0}"
"#;

impl FileSystem {
    fn make(&self, kind: &str) -> Vec<String> {
        let force = self.force;
        let mut argv: Vec<&str> = match kind {
            "lvm" => vec!["pvcreate"],
            "swap" => vec!["mkswap"],
            "ext4dev" => vec!["mkfs.ext4"],
            "reiserfs" => vec!["mkfs.reiserfs", "-q"],
            "ocfs2" => vec!["mkfs.ocfs2", "-Fx"],
            "ufs" => vec!["newfs"],
            "bcachefs" => vec!["mkfs.bcachefs"],
            "vfat" => vec!["mkfs.vfat"],
            "btrfs" => vec!["mkfs.btrfs"],
            "xfs" => vec!["mkfs.xfs"],
            "f2fs" => vec!["mkfs.f2fs"],
            "ext2" => vec!["mkfs.ext2"],
            "ext3" => vec!["mkfs.ext3"],
            _ => vec!["mkfs.ext4"],
        };
        match kind {
            "ext2" | "ext3" | "ext4" | "ext4dev" => argv.push("-F"),
            "btrfs" | "xfs" | "f2fs" | "lvm" | "swap" if force => argv.push("-f"),
            "bcachefs" if force => argv.push("--force"),
            _ => {}
        }
        let xfs_uuid;
        match (&self.uuid, kind) {
            (Some(uuid), "xfs") if uuid != "generate" && uuid != "random" => {
                xfs_uuid = format!("uuid={uuid}");
                argv.extend(["-m", &xfs_uuid]);
            }
            (Some(uuid), "ext2" | "ext3" | "ext4" | "ext4dev" | "swap" | "btrfs" | "bcachefs")
                if uuid != "random" && uuid != "generate" =>
            {
                argv.extend([if kind == "bcachefs" { "--uuid" } else { "-U" }, uuid]);
            }
            (Some(uuid), "lvm") if uuid != "random" => {
                argv.extend(["--norestorefile", "-u", uuid]);
            }
            _ => {}
        }
        argv.into_iter().map(str::to_owned).chain(self.opts.iter().cloned()).chain([self.dev.clone()]).collect()
    }

    fn grow(&self, kind: &str) -> Option<Vec<String>> {
        let dev = self.dev.as_str();
        let at_mount = |words: &str| {
            vec![
                "sh".to_owned(),
                "-c".to_owned(),
                format!("m=$(awk -v d=\"$1\" '$1==d{{print $2; exit}}' /proc/mounts); {words}"),
                "sh".to_owned(),
                dev.to_owned(),
            ]
        };
        Some(match kind {
            "ext2" | "ext3" | "ext4" | "ext4dev" => vec!["resize2fs".to_owned(), dev.to_owned()],
            "xfs" => at_mount("xfs_growfs \"$m\""),
            "btrfs" => at_mount(
                "if [ -n \"$m\" ]; then btrfs filesystem resize max \"$m\"; else t=$(mktemp -d) && mount -t btrfs \"$1\" \"$t\" \
                 && { btrfs filesystem resize max \"$t\"; r=$?; umount \"$t\"; rmdir \"$t\"; exit $r; }; fi",
            ),
            "f2fs" => vec!["resize.f2fs".to_owned(), dev.to_owned()],
            "lvm" => vec!["pvresize".to_owned(), dev.to_owned()],
            "vfat" => {
                vec!["fatresize".to_owned(), "--yes".to_owned(), "-s".to_owned(), "max".to_owned(), dev.to_owned()]
            }
            _ => return None,
        })
    }
}

/// What ansible's module calls a type in its messages.
fn class_of(kind: &str) -> &str {
    match kind {
        "ext2" => "Ext2",
        "ext3" => "Ext3",
        "ext4" | "ext4dev" => "Ext4",
        "xfs" => "XFS",
        "btrfs" => "Btrfs",
        "f2fs" => "F2fs",
        "lvm" => "LVM",
        "vfat" => "VFAT",
        "swap" => "Swap",
        other => other,
    }
}

/// blkid's name of a type.
fn blkid_name(kind: &str) -> &str {
    match kind {
        "lvm" => "LVM2_member",
        other => other,
    }
}

impl Resource for FileSystem {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let type_of: Vec<String> = ["sh", "-c", TYPE_OF, "sh", &self.dev].map(str::to_owned).to_vec();
        world.want([Query::Stat { path: self.dev.clone(), follow: true }, query(&type_of)]);
        let result = TaskResult::unchanged();
        let Some(stat) = world.stat(&self.dev, true)? else {
            let msg = format!("Device {} not found.", self.dev);
            if self.present {
                return Ok(kit::failed(msg));
            }
            return Ok(Verdict::Unchanged(result.with("msg", msg)));
        };
        if !matches!(stat.kind, FileKind::BlockDevice | FileKind::File | FileKind::CharDevice) {
            return Ok(kit::failed(format!("{} is neither a device nor a regular file", self.dev)));
        }
        let now = world.read(type_of.clone())?.text().trim().to_owned();
        let mut edit = Edit::default();
        let show = |kind: &str| if kind.is_empty() { "no file system\n".to_owned() } else { format!("{kind}\n") };
        let becomes = |edit: &mut Edit, kind: &str| {
            edit.diff.push(kit::diff(&self.dev, show(&now), show(kind)));
            edit.effect(query(&type_of), said(0, format!("{kind}\n")));
        };
        if !self.present {
            if !now.is_empty() {
                edit.actions.push(self.task.exec(["wipefs", "--all", &self.dev]));
                edit.removed = true;
                becomes(&mut edit, "");
            }
            return Ok(edit.verdict(result));
        }
        let kind = self.kind.clone().unwrap_or_default();
        let same = now == blkid_name(&kind) || (kind == "ext4dev" && now == "ext4");
        if same && self.resize && !self.force {
            let sizes: Vec<String> = ["sh", "-c", SIZES, "sh", &self.dev, &kind].map(str::to_owned).to_vec();
            let Some(grow) = self.grow(&kind) else {
                return Ok(kit::failed(format!("module does not support resizing {kind} filesystem yet")));
            };
            let output = world.read(sizes.clone())?;
            let text = output.text();
            let mut numbers = text.split_whitespace().map(|n| n.parse::<u64>().unwrap_or_default());
            let (Some(device), Some(fs)) = (numbers.next(), numbers.next()) else {
                return Ok(kit::failed(format!(
                    "unable to get the size of {}: {}",
                    self.dev,
                    output.error_text().trim()
                )));
            };
            // What is left over after whole blocks (or extents of LVM) is not worth a change.
            let class = class_of(&kind);
            let slack = if kind == "lvm" { 8 << 20 } else { 1 << 20 };
            if fs + slack <= device {
                edit.actions.push(self.task.exec(grow));
                edit.diff.push(kit::diff(&self.dev, format!("{fs} bytes\n"), format!("{device} bytes\n")));
                edit.effect(query(&sizes), said(0, format!("{device} {device}\n")));
                let msg = format!("resizing filesystem {class} on device {}", self.dev);
                return Ok(edit.verdict(result.with("msg", msg)));
            }
            let msg = format!("{class} filesystem is using the whole device {}", self.dev);
            return Ok(edit.verdict(result.with("msg", msg)));
        }
        if same && !self.force {
            return Ok(edit.verdict(result));
        }
        if !now.is_empty() && !same && !self.force {
            let msg = format!("'{}' is already used as {now}, use force=true to overwrite", self.dev);
            return Ok(Verdict::Failed(result.with("msg", msg).with("rc", 0).with("err", "")));
        }
        edit.actions.push(self.task.exec(self.make(&kind)));
        edit.created = now.is_empty();
        becomes(&mut edit, blkid_name(&kind));
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let result = concluded(change, done, &self.dev)?;
        // Of growing, what the tool said.
        match (result.values.contains_key("msg"), done.last()) {
            (true, Some(done)) => Ok(result.with("msg", kit::output_of(done).text())),
            _ => Ok(result),
        }
    }

    fn inverse(&self, _view: &View, _change: &super::Change) -> super::Inverse {
        super::Inverse::impossible("what a file system held is gone")
    }
}
