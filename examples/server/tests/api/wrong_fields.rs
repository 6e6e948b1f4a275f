//! Every field of every body with every kind of wrong value: refused by its name, and nothing changes.

use crate::support::{Operation, Scene, Who, wrong};

#[tokio::test]
async fn every_wrong_field_is_named_and_changes_nothing() {
    let mut tried = 0;
    let mut failed = Vec::new();
    for operation in Operation::all() {
        if operation.body().is_none() {
            continue;
        }
        let scene = Scene::new().await;
        let good = scene.body(&operation);
        // Signs the administrator in, which the store keeps.
        let as_admin = scene
            .by(Who::Admin, scene.request_with(&operation, None))
            .await;
        let before = scene.holds();
        for wrong in wrong::bodies(&operation, &good) {
            tried += 1;
            let answer = as_admin.clone().json(&wrong.body).send().await;
            let pointers = answer.pointers();
            if answer.status != 400 || !pointers.iter().any(|p| names(p, &wrong.pointer)) {
                failed.push(format!("{}: {}: {answer:?}", operation.id, wrong.what));
            } else {
                answer.problem(400, "validation");
            }
            if scene.holds() != before {
                failed.push(format!(
                    "{}: {} changed something",
                    operation.id, wrong.what
                ));
                break;
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {tried}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(tried > 300, "{tried}");
}

/// Itself, or an element of it.
fn names(pointer: &str, field: &str) -> bool {
    let rest = pointer.strip_prefix(field);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
