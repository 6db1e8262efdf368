//! kdeploy: a declarative desired-state engine for Kubernetes workers.
//!
//! The modules follow the flow of the work: load → select → observe → plan → apply → report.

pub mod blob;
pub mod options;
pub mod passwords;
pub mod problem;
pub mod process;
pub mod prompt;
pub mod source;
pub mod yaml;

pub mod config;
pub mod inventory;
pub mod playbook;
pub mod template;
pub mod vars;

pub mod node;
pub mod world;

pub mod resources;

pub mod ledger;

pub mod plan;

pub mod apply;

pub mod report;

pub mod recorded;
pub mod run;
pub mod select;

pub mod cli;

#[cfg(test)]
mod mutation_tests;
