//! `pip`: Python packages by the node's pip.

use std::sync::Arc;

use minijinja::Value;

use super::kit::{self, Task};
use super::{ArgSpec, Args, Change, ChangeKind, Conduct, Kind, Resource, ResourceType, Setting, TaskResult, Verdict};
use crate::node::{Done, ExecSpec};
use crate::problem::Problem;
use crate::world::{Answer, Output, Query, Stop, View};

/// `pip`.
pub static TYPE: ResourceType = ResourceType {
    name: "pip",
    qualified: &["ansible.builtin.pip"],
    doc: include_str!("doc/pip.md"),
    args: &[
        ArgSpec::new("name", Kind::List, "Packages, with versions if need be"),
        ArgSpec::new("version", Kind::Str, "The version of the one package"),
        ArgSpec::new("requirements", Kind::Path, "A requirements file on the node"),
        ArgSpec::new("virtualenv", Kind::Path, "A virtual environment to work in"),
        ArgSpec::new("virtualenv_command", Kind::Str, "What makes it").default("python3 -m venv"),
        ArgSpec::new("virtualenv_python", Kind::Str, "The Python of a new environment"),
        ArgSpec::new("virtualenv_site_packages", Kind::Bool, "A new environment sees the system's packages")
            .default("false"),
        ArgSpec::new("extra_args", Kind::Str, "Further options for pip"),
        ArgSpec::new("editable", Kind::Bool, "Install a folder so that changes in it count at once").default("false"),
        ArgSpec::new("chdir", Kind::Path, "Directory to run in"),
        ArgSpec::new("executable", Kind::Path, "Path or name of pip"),
        ArgSpec::new("umask", Kind::Str, "umask for what pip makes: octal"),
        ArgSpec::new("break_system_packages", Kind::Bool, "Allow changing the distribution's Python").default("false"),
        ArgSpec::new("state", Kind::Str, "What to make of them").default("present").choices(&[
            "absent",
            "forcereinstall",
            "latest",
            "present",
        ]),
    ],
    free_form: None,
    conduct: Conduct::Declares,
    build,
};

struct Pip {
    names: Vec<String>,
    requirements: Option<String>,
    venv: Option<String>,
    venv_command: Vec<String>,
    umask: Option<String>,
    editable: bool,
    extra: Vec<String>,
    chdir: Option<String>,
    tool: String,
    state: String,
    task: Task,
}

fn build(args: Args, setting: &Setting) -> Result<Arc<dyn Resource>, Stop> {
    let umask = kit::umask(&args)?;
    let task = Task::of(setting);
    let mut names = args.list("name")?;
    let requirements = args.str("requirements")?.map(|r| task.path(&r));
    if names.is_empty() && requirements.is_none() {
        return Err(Problem::new("missing-argument", "`pip` is asked for nothing")
            .at(args.task_span())
            .help("one of the following is required: name, requirements")
            .into());
    }
    if let (Some(version), [name]) = (args.str("version")?, names.as_mut_slice()) {
        let exact = version.starts_with(|c: char| c.is_ascii_digit());
        name.push_str(&if exact { format!("=={version}") } else { version });
    }
    let venv = args.str("virtualenv")?.map(|v| task.path(&v));
    let tool = match (&venv, args.str("executable")?) {
        (Some(venv), _) => format!("{}/bin/pip", venv.trim_end_matches('/')),
        (None, Some(tool)) => task.path(&tool),
        (None, None) => "pip3".to_owned(),
    };
    let mut extra: Vec<String> =
        args.str("extra_args")?.map(|e| kit::split_words(&e).unwrap_or_default()).unwrap_or_default();
    if args.flag("break_system_packages")? {
        extra.push("--break-system-packages".to_owned());
    }
    let mut venv_command = kit::split_words(&args.need("virtualenv_command")?).unwrap_or_default();
    if args.flag("virtualenv_site_packages")? {
        venv_command.push("--system-site-packages".to_owned());
    }
    if let Some(python) = args.str("virtualenv_python")? {
        // `python -m venv` makes environments of the Python that runs it; only virtualenv can take another.
        if venv_command.iter().any(|w| w == "venv" || w.ends_with("pyvenv")) {
            return Err(Problem::new("invalid-argument", "`virtualenv_python` cannot be used with the module venv")
                .at(args.span("virtualenv_python"))
                .help("virtualenv_command: `PYTHON -m venv`, or `virtualenv`")
                .into());
        }
        venv_command.push(format!("-p{python}"));
    }
    Ok(Arc::new(Pip {
        umask,
        editable: args.flag("editable")?,
        names,
        requirements,
        venv,
        venv_command,
        extra,
        chdir: args.str("chdir")?.map(|c| task.path(&c)),
        tool,
        state: args.need("state")?,
        task,
    }))
}

/// A package's name as pip compares names.
fn canonical(name: &str) -> String {
    name.to_lowercase().replace(['_', '.'], "-")
}

/// Name and exact version of a specification; `None`: only pip can compare it.
fn exact(spec: &str) -> Option<(String, Option<String>)> {
    let end = spec.find(['=', '<', '>', '!', '~', '[', ' ', '@', ';', '/']).unwrap_or(spec.len());
    let (name, rest) = spec.split_at(end);
    let rest = rest.trim();
    if rest.is_empty() {
        return Some((canonical(name), None));
    }
    let version = rest.strip_prefix("==")?.trim();
    (!version.contains([',', '*', ';', ' '])).then(|| (canonical(name), Some(version.to_owned())))
}

impl Resource for Pip {
    fn reconcile(&self, world: &View) -> Result<Verdict, Stop> {
        let list =
            [self.tool.as_str(), "list", "--format=freeze", "--disable-pip-version-check"].map(str::to_owned).to_vec();
        let output = world.read(list.clone())?;
        let no_venv = self.venv.is_some() && output.rc != 0;
        if output.rc == 127 && !no_venv {
            return Err(Stop::Failed(format!(
                "Unable to find any of {} to use. pip needs to be installed.",
                self.tool
            )));
        }
        let text = output.text();
        let installed = |name: &str| {
            text.lines()
                .filter_map(|l| l.split_once("=="))
                .find(|(n, _)| canonical(n) == name)
                .map(|(_, v)| v.to_owned())
        };
        let absent = self.state == "absent";
        let mut todo: Vec<&String> = vec![];
        let mut unsure = self.requirements.is_some() || matches!(self.state.as_str(), "latest" | "forcereinstall");
        for spec in &self.names {
            match exact(spec) {
                Some((name, version)) => {
                    let now = installed(&name);
                    let fits = now.is_some() && (absent || version.is_none() || version == now);
                    if fits == absent || unsure {
                        todo.push(spec);
                    }
                }
                None => {
                    unsure = true;
                    todo.push(spec);
                }
            }
        }
        let result = TaskResult::unchanged()
            .with("name", Value::from(self.names.clone()))
            .with("requirements", self.requirements.as_deref().map_or(Value::from(()), Value::from))
            .with("state", self.state.as_str())
            .with("virtualenv", self.venv.as_deref().map_or(Value::from(()), Value::from));
        if todo.is_empty() && self.requirements.is_none() || absent && no_venv {
            return Ok(Verdict::Unchanged(result));
        }
        let mut actions = vec![];
        if let (Some(venv), true) = (&self.venv, no_venv) {
            let mut argv = self.venv_command.clone();
            argv.push(venv.clone());
            actions.push(self.task.exec(kit::under(self.umask.as_deref(), argv)));
        }
        let mut argv = vec![self.tool.clone(), if absent { "uninstall" } else { "install" }.to_owned()];
        match self.state.as_str() {
            "absent" => argv.push("-y".to_owned()),
            "latest" => argv.push("-U".to_owned()),
            "forcereinstall" => argv.extend(["-U".to_owned(), "--force-reinstall".to_owned()]),
            _ => {}
        }
        argv.extend(self.extra.iter().cloned());
        for spec in &todo {
            if self.editable && !absent {
                argv.push("-e".to_owned());
            }
            argv.push((*spec).clone());
        }
        if let Some(file) = &self.requirements {
            argv.extend(["-r".to_owned(), file.clone()]);
        }
        actions.push(
            ExecSpec {
                env: self.task.environment.clone(),
                chdir: self.chdir.clone(),
                ..ExecSpec::argv(kit::under(self.umask.as_deref(), argv))
            }
            .into_action(),
        );
        let mut effects = vec![];
        if !unsure {
            let mut after: String = text
                .lines()
                .filter(|l| {
                    !todo.iter().any(|s| exact(s).map(|e| e.0) == l.split_once("==").map(|(n, _)| canonical(n)))
                })
                .map(|l| format!("{l}\n"))
                .collect();
            if !absent {
                for spec in &todo {
                    if let Some((name, version)) = exact(spec) {
                        after.push_str(&format!("{name}=={}\n", version.unwrap_or_default()));
                    }
                }
            }
            let output = Output { rc: 0, stdout: after.into_bytes(), stderr: vec![] };
            effects.push(kit::effect(Query::Read { argv: list }, Answer::Output(output)));
        }
        let shown: String = todo.iter().map(|s| format!("{s}\n")).collect();
        let (before, after) = if absent { (shown, String::new()) } else { (String::new(), shown) };
        Ok(Verdict::Change(Change {
            diff: vec![kit::diff("pip", before, after)],
            opaque: true,
            result: TaskResult { changed: true, ..result },
            ..kit::change(if absent { ChangeKind::Remove } else { ChangeKind::Run }, actions, effects)
        }))
    }

    fn conclude(&self, change: &Change, done: &[Done]) -> Result<TaskResult, TaskResult> {
        let join = |pick: fn(&Output) -> String| done.iter().map(|d| pick(kit::output_of(d))).collect::<String>();
        let stdout = join(Output::text);
        let result = change.result.clone().with("stdout", stdout.as_str()).with("stderr", join(Output::error_text));
        match kit::failure(done) {
            Some((message, output)) => {
                let said = output.error_text();
                let said = if said.trim().is_empty() { message.to_owned() } else { said };
                Err(TaskResult { changed: false, ..result }.with("msg", said))
            }
            None => {
                let changed = stdout.contains("Successfully installed")
                    || stdout.contains("Successfully uninstalled")
                    || done.len() > 1;
                Ok(TaskResult { changed, ..result })
            }
        }
    }
}
