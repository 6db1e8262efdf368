//! `modprobe`: kernel modules, now and at boot.

use std::sync::Arc;

use super::edits::{self, Edit, Own};
use super::kit::{self, Task};
use super::{ArgSpec, Args, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::Done;
use crate::world::{Answer, Output, Query, Stop, View};

pub static TYPE: ResourceType = ResourceType {
    name: "modprobe",
    qualified: &["community.general.modprobe"],
    doc: include_str!("doc/modprobe.md"),
    args: &[
        ArgSpec::new("name", Kind::Str, "Name of the module").required(),
        ArgSpec::new("state", Kind::Str, "Whether it is loaded").default("present").choices(&["absent", "present"]),
        ArgSpec::new("params", Kind::Str, "Parameters to load it with").default(""),
        ArgSpec::new("persistent", Kind::Str, "Whether it is loaded at boot")
            .default("disabled")
            .choices(&["absent", "disabled", "present"]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Modprobe {
    name: String,
    params: String,
    present: bool,
    /// `None`: the boot is left as it is.
    persistent: Option<bool>,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    Ok(Arc::new(Modprobe {
        name: args.need("name")?,
        params: args.str("params")?.unwrap_or_default(),
        present: args.need("state")? == "present",
        persistent: match args.need("persistent")?.as_str() {
            "present" => Some(true),
            "absent" => Some(false),
            _ => None,
        },
        task: Task::of(setting),
    }))
}

const MODULES: &str = "/proc/modules";

const BUILT_IN: &str = "grep -q \"/$1\\.ko\" \"/lib/modules/$(uname -r)/modules.builtin\"";

/// The kernel's spelling of a module's name.
fn kernel_name(name: &str) -> String {
    name.replace('-', "_")
}

impl Modprobe {
    fn built_in(&self) -> Query {
        // In the list of built-in modules `-` and `_` are both in use.
        let pattern = self.name.replace(['-', '_'], "[-_]");
        Query::Read { argv: ["sh", "-c", BUILT_IN, "sh", &pattern].map(str::to_owned).to_vec() }
    }

    fn loaded(&self, world: &View) -> Result<(bool, String), Stop> {
        let text = world.content(MODULES)?.map(|c| kit::text(&c)).unwrap_or_default();
        let wanted = kernel_name(&self.name);
        Ok((text.lines().any(|l| l.split(' ').next() == Some(&wanted)), text))
    }

    fn boot_file(&self) -> String {
        format!("/etc/modules-load.d/{}.conf", self.name)
    }

    fn params_file(&self) -> String {
        format!("/etc/modprobe.d/{}.conf", self.name)
    }

    /// Every `*.conf` of a directory: path and text.
    fn configs(world: &View, dir: &str) -> Result<Vec<(String, String)>, Stop> {
        let tree = world.tree(dir, Some(1))?;
        let paths: Vec<String> =
            tree.iter().filter(|e| e.path.ends_with(".conf")).map(|e| format!("{dir}/{}", e.path)).collect();
        world.want(paths.iter().map(|p| Query::Content { path: p.clone() }));
        let mut found = vec![];
        for path in paths {
            if let Some(text) = edits::read(world, &path)? {
                found.push((path, text));
            }
        }
        Ok(found)
    }

    fn is_boot_line(&self, line: &str) -> bool {
        line.trim() == self.name
    }

    fn is_params_line(&self, line: &str) -> bool {
        let mut words = line.split_whitespace();
        words.next() == Some("options") && words.next() == Some(&self.name)
    }

    fn persist(&self, world: &View, on: bool) -> Result<Edit, Stop> {
        let own = Own::mode(0o644);
        let mut edit = Edit::default();
        world.want(edits::queries(&self.boot_file()).into_iter().chain(edits::queries(&self.params_file())));
        if on {
            let boot = edits::read(world, &self.boot_file())?;
            let listed = boot.as_ref().is_some_and(|t| t.lines().any(|l| self.is_boot_line(l)));
            let elsewhere = || -> Result<bool, Stop> {
                let all = Self::configs(world, "/etc/modules-load.d")?;
                Ok(all.iter().any(|(_, t)| t.lines().any(|l| self.is_boot_line(l))))
            };
            if !listed && !elsewhere()? {
                edit = edits::write(world, &self.task, &self.boot_file(), &own, Some(&format!("{}\n", self.name)))?;
            }
            if !self.params.is_empty() {
                let line = format!("options {} {}", self.name, self.params);
                let is_set = |text: &str| text.lines().any(|l| l.trim() == line);
                let here = edits::read(world, &self.params_file())?;
                if !here.as_deref().is_some_and(is_set)
                    && !Self::configs(world, "/etc/modprobe.d")?.iter().any(|(_, t)| is_set(t))
                {
                    edit = edit.and(edits::write(
                        world,
                        &self.task,
                        &self.params_file(),
                        &own,
                        Some(&format!("{line}\n")),
                    )?);
                }
            }
            return Ok(edit);
        }
        for (dir, is_line) in [
            ("/etc/modules-load.d", Self::is_boot_line as fn(&Self, &str) -> bool),
            ("/etc/modprobe.d", Self::is_params_line),
        ] {
            for (path, text) in Self::configs(world, dir)? {
                let lines: Vec<String> =
                    text.lines().map(|l| if is_line(self, l) { format!("#{l}") } else { l.to_owned() }).collect();
                if lines.iter().zip(text.lines()).any(|(new, old)| new != old) {
                    edit = edit.and(edits::write(world, &self.task, &path, &own, Some(&edits::joined(&lines)))?);
                }
            }
        }
        Ok(edit)
    }
}

impl Resource for Modprobe {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        world.want([Query::Content { path: MODULES.to_owned() }, self.built_in()]);
        if self.persistent.is_some() {
            world.want(edits::queries(&self.boot_file()));
        }
        let (mut loaded, text) = self.loaded(world)?;
        let mut built_in = false;
        if !loaded {
            let Answer::Output(output) = world.ask(self.built_in())? else { unreachable!("an output") };
            built_in = output.rc == 0;
            loaded = built_in;
        }
        let mut edit = match self.persistent {
            Some(on) => self.persist(world, on)?,
            None => Edit::default(),
        };
        let query = Query::Content { path: MODULES.to_owned() };
        let name = kernel_name(&self.name);
        if self.present && !loaded {
            let mut argv = vec!["modprobe".to_owned(), self.name.clone()];
            argv.extend(kit::split_words(&self.params).unwrap_or_else(|_| vec![self.params.clone()]));
            edit.actions.insert(0, self.task.exec(argv));
            edit.effect(query, Answer::Content(Some(Arc::new(format!("{text}{name} 0 0 - Live 0x0\n").into_bytes()))));
            edit.diff.push(kit::diff(&format!("module {name}"), "not loaded\n", "loaded\n"));
            edit.created = true;
        } else if !self.present && loaded && !built_in {
            edit.actions.insert(0, self.task.exec(["modprobe", "-r", &self.name]));
            let rest: String =
                text.lines().filter(|l| l.split(' ').next() != Some(&name)).map(|l| format!("{l}\n")).collect();
            edit.effect(query, Answer::Content(Some(Arc::new(rest.into_bytes()))));
            edit.diff.push(kit::diff(&format!("module {name}"), "loaded\n", "not loaded\n"));
            edit.removed = true;
        }
        let result = TaskResult::unchanged()
            .with("name", self.name.as_str())
            .with("params", self.params.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        Ok(edit.verdict(result))
    }

    fn conclude(&self, change: &super::Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        match kit::failure(done) {
            None => Ok(change.result.clone()),
            Some((message, output)) => Err(failed(change, message, output)),
        }
    }

    /// Whether it was loaded.
    fn inverse(&self, view: &View, _change: &super::Change) -> super::Inverse {
        match self.loaded(view) {
            Ok((false, _)) if self.present => {
                super::Inverse::command(format!("module {} loaded", self.name), ["modprobe", "-r", &self.name])
            }
            Ok((true, _)) if !self.present => {
                super::Inverse::command(format!("module {} not loaded", self.name), ["modprobe", &self.name])
            }
            _ => super::Inverse::default(),
        }
    }
}

fn failed(change: &super::Change, message: &str, output: &Output) -> TaskResult {
    let said = output.error_text();
    TaskResult { changed: false, ..change.result.clone() }
        .with("msg", if said.trim().is_empty() { message.to_owned() } else { said })
        .with("rc", output.rc)
        .with("stdout", output.text())
        .with("stderr", output.error_text())
}
