//! `scope: global`: whether units of all users' managers are enabled or masked. No manager runs them, so there is nothing to start.

use std::sync::Arc;

use minijinja::Value;

use super::{Resource, TaskResult, Unit, Verdict, full_name, is_enabled};
use crate::problem::Problem;
use crate::resources::edits::Edit;
use crate::resources::{Args, kit};
use crate::world::{Answer, Output, Query, Stop, View};

struct Global(Unit);

pub(super) fn build(unit: Unit, args: &Args) -> Result<Arc<dyn Resource>, Problem> {
    if unit.state.is_some() {
        return Err(Problem::new("invalid-argument", "units of `scope: global` cannot be started or stopped")
            .at(args.span("state"))
            .help("`enabled` and `masked` are what can be asked for"));
    }
    Ok(Arc::new(Global(unit)))
}

impl Resource for Global {
    fn reconcile(&self, view: &View) -> Result<Verdict, Stop> {
        let name = self.0.name.clone().unwrap_or_default();
        let unit = full_name(&name);
        let argv = ["systemctl", "--global", "is-enabled", &unit].map(str::to_owned).to_vec();
        let output = view.read(argv.clone())?;
        let mut state = output.text().trim().to_owned();
        if state.is_empty() || state == "not-found" {
            return Ok(kit::failed(format!(
                "Could not find the requested service {name}: {}",
                output.error_text().trim()
            )));
        }
        let mut edit = Edit::default();
        let run = |edit: &mut Edit, verb: &str| {
            edit.actions.push(self.0.task.exec(["systemctl", "--global", verb, &unit]));
        };
        let mut lines = vec![];
        let was_masked = state.starts_with("masked");
        if let Some(masked) = self.0.masked.filter(|m| *m != was_masked) {
            run(&mut edit, if masked { "mask" } else { "unmask" });
            lines.push(("masked", was_masked.to_string(), masked.to_string()));
            state = if masked { "masked" } else { "disabled" }.to_owned();
        }
        let was_enabled = is_enabled(&state);
        if let Some(enabled) = self.0.enabled.filter(|e| *e != was_enabled) {
            run(&mut edit, if enabled { "enable" } else { "disable" });
            lines.push(("enabled", was_enabled.to_string(), enabled.to_string()));
            state = if enabled { "enabled" } else { "disabled" }.to_owned();
        }
        if !edit.is_empty() {
            let rc = i32::from(!is_enabled(&state));
            let after = Output { rc, stdout: format!("{state}\n").into_bytes(), stderr: vec![] };
            edit.effect(Query::Read { argv }, Answer::Output(after));
            edit.diff.push(kit::diff_of_attributes(&unit, &lines));
        }
        let mut result = TaskResult::unchanged().with("name", name).with("status", kit::map([]));
        if let Some(enabled) = self.0.enabled {
            result = result.with("enabled", Value::from(enabled));
        }
        Ok(edit.verdict(result))
    }
}
