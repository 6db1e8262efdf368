use proptest::prelude::*;
use serde_json::json;

use crate::resources::Verdict;
use crate::resources::testing::*;
use crate::world::{Answer, FileKind, Query, Stat};

fn device(path: &str) -> Stat {
    Stat {
        kind: FileKind::BlockDevice,
        mode: 0o660,
        uid: 0,
        gid: 6,
        owner: "root".into(),
        group: "disk".into(),
        size: 0,
        mtime: 1.0,
        atime: 1.0,
        ctime: 1.0,
        inode: 1,
        device: 1,
        links: 1,
        target: None,
        real: Some(path.to_owned()),
    }
}

/// /dev/vda holds ext4 and does not fill its device, /dev/vdb is empty, /dev/vdc and /dev/vdd are in the group `data` (10 GiB, 4 free)
/// with the volume `images`.
fn node(query: &Query) -> Answer {
    let said = |text: &str| Answer::Output(output(0, text));
    match query {
        Query::Stat { path, .. } if path.starts_with("/dev/vd") => Answer::Stat(Some(device(path))),
        Query::Read { argv } => match argv.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["sh", "-c", _, "sh", "/dev/vda"] => said("ext4\n"),
            ["sh", "-c", _, "sh", "/dev/vda", "ext4"] => said("10737418240 5368709120\n"),
            ["sh", "-c", _, "sh", _] => said("\n"),
            ["vgs", .., "--select", "vg_name=data"] => said("  data;1\n"),
            ["vgs", .., "--select", _] => said(""),
            ["vgs", .., "data"] => said("  10737418240;4294967296;4194304\n"),
            ["vgs", ..] => Answer::Output(output(5, "")),
            ["lvs", "-a", ..] => said("  images;6442450944;active;;\n"),
            ["lvs", ..] => said("  active\n"),
            ["pvs", ..] => said("  /dev/vdc;data;5368709120;5364514816\n  /dev/vdd;data;10737418240;5364514816\n"),
            _ => Answer::Output(output(127, "")),
        },
        other => nothing(other),
    }
}

fn run(module: &str, args: serde_json::Value) -> Option<Vec<String>> {
    converges(&*build(module, args), &mut world([]), &node).map(|c| shorts(&c))
}

fn refused(module: &str, args: serde_json::Value) -> String {
    match settle(&*build(module, args), &mut world([]), &node) {
        Ok(Verdict::Failed(result)) => result.values["msg"].to_string(),
        other => panic!("expected a failure, got {other:?}"),
    }
}

#[test]
fn file_systems() {
    let fs = |args: serde_json::Value| run("filesystem", args);
    assert_eq!(fs(json!({"dev": "/dev/vda", "fstype": "ext4"})), None);
    assert_eq!(fs(json!({"dev": "/dev/vda", "fstype": "ext4", "resizefs": true})).unwrap(), ["resize2fs /dev/vda"]);
    assert_eq!(
        fs(json!({"dev": "/dev/vdb", "fstype": "xfs", "opts": "-L 'my data'"})).unwrap(),
        ["mkfs.xfs -L my data /dev/vdb"]
    );
    // `force` is an order: it is done each time.
    let forced = build("filesystem", json!({"dev": "/dev/vda", "fstype": "swap", "force": true, "uuid": "0a-1"}));
    assert_eq!(shorts(&change(&*forced, &mut world([]), &node)), ["mkswap -f -U 0a-1 /dev/vda"]);
    assert_eq!(fs(json!({"dev": "/dev/vda", "state": "absent"})).unwrap(), ["wipefs --all /dev/vda"]);
    assert_eq!(fs(json!({"dev": "/dev/vdb", "state": "absent"})), None);
    assert_eq!(
        refused("filesystem", json!({"dev": "/dev/vda", "fstype": "xfs"})),
        "'/dev/vda' is already used as ext4, use force=true to overwrite"
    );
    assert_eq!(refused("filesystem", json!({"dev": "/dev/sdz", "fstype": "xfs"})), "Device /dev/sdz not found.");
}

#[test]
fn volume_groups() {
    let vg = |args: serde_json::Value| run("lvg", args);
    assert_eq!(vg(json!({"vg": "data", "pvs": "/dev/vdc,/dev/vdd"})), None);
    assert_eq!(
        vg(json!({"vg": "data", "pvs": ["/dev/vdb", "/dev/vdd"]})).unwrap(),
        ["pvcreate -f /dev/vdb", "vgextend data /dev/vdb", "vgreduce --force data /dev/vdc"]
    );
    assert_eq!(vg(json!({"vg": "data", "pvs": ["/dev/vdd"], "remove_extra_pvs": false})), None);
    assert_eq!(vg(json!({"vg": "data", "pvresize": true})).unwrap(), ["pvresize /dev/vdd"]);
    assert_eq!(
        vg(json!({"vg": "new", "pvs": "/dev/vdb", "pesize": "16"})).unwrap(),
        ["pvcreate -f /dev/vdb", "vgcreate -s 16 new /dev/vdb"]
    );
    assert_eq!(vg(json!({"vg": "data", "state": "absent", "force": true})).unwrap(), ["vgremove --force data"]);
    assert_eq!(vg(json!({"vg": "data", "state": "inactive"})).unwrap(), ["vgchange --activate n data"]);
    assert!(refused("lvg", json!({"vg": "data", "state": "absent"})).starts_with("Refuse to remove non-empty"));
    assert!(refused("lvg", json!({"vg": "new", "pvs": "/dev/vdc"})).contains("already in data"));
}

#[test]
fn logical_volumes() {
    let lv = |args: serde_json::Value| run("lvol", args);
    assert_eq!(lv(json!({"vg": "data", "lv": "images", "size": "6g"})), None);
    assert_eq!(lv(json!({"vg": "data", "lv": "images"})), None);
    assert_eq!(
        lv(json!({"vg": "data", "lv": "images", "size": "8g", "resizefs": true})).unwrap(),
        ["lvextend --resizefs -L 8g data/images"]
    );
    assert_eq!(
        lv(json!({"vg": "data", "lv": "images", "size": "100%FREE"})).unwrap(),
        ["lvextend -l 2560 data/images"]
    );
    assert_eq!(
        lv(json!({"vg": "data", "lv": "images", "size": "512", "force": true})).unwrap(),
        ["lvreduce --force -L 512m data/images"]
    );
    assert_eq!(lv(json!({"vg": "data", "lv": "images", "size": "1g", "shrink": false})), None);
    assert_eq!(lv(json!({"vg": "data", "lv": "logs", "size": "1g"})).unwrap(), ["lvcreate --yes -L 1g -n logs data"]);
    assert_eq!(
        lv(json!({"vg": "data", "lv": "images", "snapshot": "before", "size": "1g"})).unwrap(),
        ["lvcreate --yes -L 1g -s -n before data/images"]
    );
    assert_eq!(
        lv(json!({"vg": "data", "lv": "thin", "thinpool": "pool", "size": "20g"})).unwrap(),
        ["lvcreate --yes -V 20g -n thin -T data/pool"]
    );
    assert_eq!(
        lv(json!({"vg": "data", "lv": "images", "state": "absent", "force": true})).unwrap(),
        ["lvremove --force data/images"]
    );
    assert_eq!(lv(json!({"vg": "data", "lv": "images", "active": false})).unwrap(), ["lvchange -an data/images"]);
    assert!(refused("lvol", json!({"vg": "data", "lv": "images", "size": "1g"})).contains("force=true"));
    assert!(refused("lvol", json!({"vg": "data", "lv": "images", "size": "60g"})).contains("Not enough free space"));
    assert!(refused("lvol", json!({"vg": "nope", "lv": "x", "size": "1g"})).contains("nope"));
}

proptest! {
    #[test]
    fn storage_converges(
        size in prop::sample::select(vec!["1g", "6g", "7000", "9g", "50%VG", "100%FREE", "30%FREE"]),
        lv in prop::sample::select(vec!["images", "logs"]),
        present in any::<bool>(),
    ) {
        let state = if present { "present" } else { "absent" };
        run("lvol", json!({"vg": "data", "lv": lv, "size": size, "state": state, "force": true}));
    }
}
