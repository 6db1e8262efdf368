//! `kdeploy show`: a saved plan, or a run of the history.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, terminal};
use crate::plan::SavedPlan;
use crate::problem::Problems;
use crate::report;

/// Show a saved plan, or a run of the history
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The file of `kdeploy plan --out`, or a run's id
    pub file: PathBuf,
    /// text, json or html
    #[arg(long, value_name = "FORMAT", default_value = "text", value_parser = ["text", "json", "html"])]
    pub format: String,
}

impl ShowArgs {
    pub fn run(self) -> Result<Exit, Problems> {
        if !self.file.exists() {
            let id = self.file.display().to_string();
            let text = super::history::show(&id).ok_or_else(|| super::history::unknown(&id))?;
            terminal::print(&text);
            return Ok(Exit::Done);
        }
        let plan = SavedPlan::load(&self.file)?;
        let text = match self.format.as_str() {
            "json" => format!("{}\n", serde_json::to_string_pretty(&plan.document).unwrap_or_default()),
            "html" => report::html(&plan.document, &plan.graph),
            _ => {
                let nodes: Vec<String> =
                    plan.nodes.iter().map(|(host, node)| format!("{host} (machine-id {})", node.machine_id)).collect();
                let used =
                    plan.applied.as_ref().map_or_else(|| "not yet applied".to_owned(), |w| format!("applied {w}"));
                format!("{}\nmade {}, {used}\nnodes: {}\n", plan.text, plan.created, nodes.join(", "))
            }
        };
        terminal::print(&text);
        Ok(Exit::Done)
    }
}
