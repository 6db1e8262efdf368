//! Replies about systemd units.

use std::collections::BTreeMap;

use super::Reply;
use crate::world::{Answer, UnitState};

/// What is asked of a unit: what resources compare, and what playbooks read from `status`.
pub const PROPERTIES: &str = "Id,Names,Description,Documentation,LoadState,LoadError,ActiveState,SubState,UnitFileState,UnitFilePreset,FragmentPath,SourcePath,DropInPaths,NeedDaemonReload,Type,Restart,RestartUSec,MainPID,ControlPID,ExecMainPID,ExecMainCode,ExecMainStatus,ExecMainStartTimestamp,ExecMainExitTimestamp,ExecStart,ExecStartPre,ExecStartPost,ExecReload,ExecStop,Result,StatusText,StatusErrno,NRestarts,User,Group,DynamicUser,WorkingDirectory,RootDirectory,Environment,EnvironmentFiles,Slice,ControlGroup,PIDFile,BusName,KillMode,KillSignal,Delegate,MemoryCurrent,MemoryMax,CPUUsageNSec,TasksCurrent,TasksMax,LimitNOFILE,LimitNPROC,LimitCORE,LimitMEMLOCK,OOMScoreAdjust,Nice,UMask,TimeoutStartUSec,TimeoutStopUSec,WatchdogUSec,RemainAfterExit,Requires,Requisite,Wants,BindsTo,PartOf,RequiredBy,WantedBy,BoundBy,ConsistsOf,Conflicts,ConflictedBy,Before,After,Triggers,TriggeredBy,OnFailure,CanStart,CanStop,CanReload,CanIsolate,RefuseManualStart,RefuseManualStop,DefaultDependencies,ConditionResult,AssertResult,StateChangeTimestamp,ActiveEnterTimestamp,ActiveExitTimestamp,InactiveEnterTimestamp,InactiveExitTimestamp,Transient,InvocationID,Where,What,Options,Listen,NextElapseUSecRealtime,LastTriggerUSec,Unit";

pub fn units(names: &[String], reply: &Reply) -> Vec<Answer> {
    if reply.has("off") {
        // Not booted with systemd: what is enabled can still be told.
        let mut states = reply.sections.iter().filter(|s| s.tag == "u");
        return names
            .iter()
            .map(|_| {
                let state = states.next().map(|s| String::from_utf8_lossy(&s.body).trim().to_owned());
                Answer::Unit(Box::new(UnitState {
                    load: "offline".into(),
                    file_state: state.unwrap_or_default(),
                    ..UnitState::default()
                }))
            })
            .collect();
    }
    if reply.has("x") {
        // `systemctl show` refused one of the names: each was asked alone.
        let mut answers = vec![];
        for (i, section) in reply.sections.iter().enumerate() {
            if section.tag != "u" {
                continue;
            }
            let error = reply.sections.get(i + 1).filter(|s| s.tag == "e");
            let text = String::from_utf8_lossy(&section.body);
            answers.push(match error {
                Some(error) if text.trim().is_empty() => {
                    let why = String::from_utf8_lossy(&error.body).trim().to_owned();
                    if why.contains("neither a valid") || why.contains("is missing the instance name") {
                        not_found()
                    } else {
                        Answer::Failed(why)
                    }
                }
                _ => unit(&text),
            });
        }
        answers.resize(names.len(), Answer::Failed("`systemctl show` gave no answer".into()));
        return answers;
    }
    let text = reply.text("o");
    let mut blocks = text.split("\n\n");
    names.iter().map(|_| blocks.next().map_or_else(not_found, unit)).collect()
}

fn not_found() -> Answer {
    let state =
        UnitState { load: "not-found".into(), active: "inactive".into(), sub: "dead".into(), ..Default::default() };
    Answer::Unit(Box::new(state))
}

fn unit(block: &str) -> Answer {
    let mut properties: BTreeMap<String, String> = BTreeMap::new();
    for line in block.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        match properties.get_mut(key) {
            // Several ExecStart= and the like.
            Some(old) => {
                old.push_str(" ; ");
                old.push_str(value);
            }
            None => {
                properties.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    let get = |key: &str| properties.get(key).cloned().unwrap_or_default();
    Answer::Unit(Box::new(UnitState {
        load: get("LoadState"),
        active: get("ActiveState"),
        sub: get("SubState"),
        file_state: get("UnitFileState"),
        needs_reload: get("NeedDaemonReload") == "yes",
        properties,
    }))
}
