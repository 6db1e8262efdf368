//! What resources share that compare by a tool's own output: predicted outputs, and how a tool fails.

use crate::node::Done;
use crate::resources::kit::{self};
use crate::resources::{Change, TaskResult};
use crate::world::{Answer, Output, Query};

pub fn said(rc: i32, text: String) -> Answer {
    Answer::Output(Output { rc, stdout: text.into_bytes(), stderr: vec![] })
}

pub fn query(argv: &[String]) -> Query {
    Query::Read { argv: argv.to_vec() }
}

pub fn concluded(change: &Change, done: &[Done], name: &str) -> Result<TaskResult, TaskResult> {
    match kit::failure(done) {
        None => Ok(change.result.clone()),
        Some((message, output)) => Err(crate::resources::group::failed_tool(name, message, output)),
    }
}
