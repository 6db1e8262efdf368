//! The migration's playbooks on a cluster: is what `plan` prints what `apply` does? Kubernetes is built for `./test fidelity`.

use crate::bed::Bed;
use crate::cluster::joined;
use crate::compare::{self, Score};
use crate::document;
use crate::fidelity::{is_asked_for, steps_of};

/// A control plane and one worker on Docker.
fn cluster() -> Bed {
    let bed = joined(&["w1"]);
    for _ in 0..180 {
        if bed.lab("cluster", &["kubectl", "get", "nodes", "--no-headers"]).contains(" Ready ") {
            return bed;
        }
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    panic!("the node did not become Ready");
}

/// Plans, applies, and plans again.
fn play(bed: &Bed, playbook: &str) -> Score {
    let run = |args: &[&str]| bed.kdeploy(&[args, &[playbook, "--output", "json"]].concat()).ends_with(0).json();
    let plan = run(&["plan"]);
    let apply = run(&["apply", "--no-plan"]);
    let again = run(&["plan"]);
    let (planned, applied) = (steps_of(&plan, "w1"), steps_of(&apply, "w1"));
    let mut score = compare::plan_and_apply(&planned, &applied);
    assert!(score.steps > 0, "nothing ran: {apply:#}");
    // A canary comes and goes each time.
    if playbook != "verify.yml" {
        for left in compare::left_to_do(&steps_of(&again, "w1"), &applied) {
            score.faults.push(format!("still to do after the apply: {left}"));
        }
    }
    score
}

#[test]
#[ignore = "needs root, the lab and a Kubernetes build: ./test fidelity"]
fn plans_of_the_migration_come_true() {
    if !is_asked_for() {
        return;
    }
    let bed = cluster();
    for (playbook, state) in
        [("migrate-to-containerd.yml", "on Docker"), ("verify.yml", "moved"), ("uncordon.yml", "moved")]
    {
        let score = play(&bed, playbook);
        assert!(
            score.faults.is_empty(),
            "{playbook}: {} faults of {} steps\n{:#?}",
            score.faults.len(),
            score.steps,
            score.faults
        );
        document::settle_states(playbook, "`kdeploy plan`", &[(state, &score)]);
    }
}
