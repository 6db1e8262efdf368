//! kdeploy: a declarative desired-state engine for Kubernetes workers.
//!
//! The modules follow the flow of the work: load → select → observe → plan → apply → report.

pub mod problem;
pub mod source;
pub mod yaml;

pub mod config;
pub mod inventory;
pub mod playbook;
pub mod template;
pub mod vars;

pub mod node;
pub mod world;

pub mod plan;
pub mod resources;

pub mod apply;

pub mod cli;
pub mod report;
