//! A program that reads what it is to do from its standard input.

use crate::node::{Action, ExecSpec};
use crate::resources::kit::Task;
use crate::world::{Answer, Output};

/// Runs a program with a text on its standard input.
pub fn feed(task: &Task, argv: &[&str], input: String) -> Action {
    ExecSpec { env: task.environment.clone(), stdin: Some(input.into_bytes()), ..ExecSpec::argv(argv.iter().copied()) }
        .into_action()
}

pub fn output(text: String) -> Answer {
    Answer::Output(Output { rc: 0, stdout: text.into_bytes(), stderr: vec![] })
}
