//! Tests on paths of the control machine.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use minijinja::{Error, State, Value};

use crate::template::args::{Call, Entry, err, string};
use crate::template::filters::expand_user;

pub const TESTS: &[Entry] = &[
    ("file", |_, c| on_path(c, |p| p.is_file())),
    ("is_file", |_, c| on_path(c, |p| p.is_file())),
    ("directory", |_, c| on_path(c, |p| p.is_dir())),
    ("is_dir", |_, c| on_path(c, |p| p.is_dir())),
    ("link", |_, c| on_path(c, |p| p.is_symlink())),
    ("is_link", |_, c| on_path(c, |p| p.is_symlink())),
    ("exists", |_, c| on_path(c, |p| p.exists())),
    ("link_exists", |_, c| on_path(c, |p| p.symlink_metadata().is_ok())),
    ("abs", |_, c| on_path(c, |p| p.is_absolute())),
    ("is_abs", |_, c| on_path(c, |p| p.is_absolute())),
    ("mount", |_, c| on_path(c, is_mount)),
    ("is_mount", |_, c| on_path(c, is_mount)),
    ("same_file", same_file),
    ("is_same_file", same_file),
];

fn on_path(mut call: Call, f: fn(&Path) -> bool) -> Result<Value, Error> {
    let path = string(&call.subject()?, "path")?;
    Ok(Value::from(f(Path::new(&path))))
}

fn is_mount(path: &Path) -> bool {
    let (Ok(here), Ok(parent)) = (path.symlink_metadata(), path.join("..").metadata()) else { return false };
    !here.file_type().is_symlink() && (here.dev() != parent.dev() || here.ino() == parent.ino())
}

fn same_file(_: &mut State, call: Call) -> Result<Value, Error> {
    let [a, b] = call.bind(["value", "path"], 2)?;
    let stat = |v: Option<Value>| -> Result<Metadata, Error> {
        let path = expand_user(&string(&v.unwrap_or_default(), "path")?);
        std::fs::metadata(&path).map_err(|e| err(format!("can't look at `{path}`: {e}")))
    };
    let (a, b) = (stat(a)?, stat(b)?);
    Ok(Value::from(a.dev() == b.dev() && a.ino() == b.ino()))
}
