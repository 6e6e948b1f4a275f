//! Jupyter beside the image's program.

use std::sync::Arc;
use std::time::Duration;

use super::{Able, Has, Own, Program, Subject, volume};
use crate::conformance::{Case, cases};
use crate::jupyter;
use crate::orchestrator::{Jupyter, PortMap, State, Workload};
use crate::pod::{Endpoint, Proto, Reason, Secret};

const TOKEN: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        jupyter_of_the_image_answers_beside_its_program,
        jupyter_is_installed_where_there_is_python,
        without_python_jupyter_fails_and_the_program_runs,
        without_a_shell_jupyter_fails_and_the_program_runs,
        jupyter_that_is_not_asked_for_is_not_there,
        a_program_with_jupyter_beside_it_is_told_to_end,
    ]
}

async fn workload(s: &Subject, has: Has, own: Own) -> Able<Workload> {
    let image = s.fixture.with_jupyter(has, own).await?;
    let mut w = super::workload(image);
    for container in [8080, jupyter::PORT] {
        w.ports.push(PortMap {
            container,
            host: Some(s.fixture.free_port()?),
            proto: Proto::Http,
        });
    }
    w.volume = Some(volume());
    w.env.0.insert("JUPYTER_TOKEN".to_owned(), TOKEN.to_owned());
    w.jupyter = Some(Jupyter {
        port: jupyter::PORT,
        token: Secret::new(TOKEN),
    });
    Ok(w)
}

/// The port's endpoint, while its run goes on.
fn endpoint(state: Option<&State>, container: u16) -> Option<&Endpoint> {
    match state {
        Some(State::Running { endpoints, .. }) => {
            endpoints.iter().find(|e| e.container == container)
        }
        _ => None,
    }
}

async fn answers(s: &Subject, w: &Workload, port: u16) {
    let ready = |state: Option<&State>| endpoint(state, port).filter(|e| e.ready).cloned();
    let found = s.until(w.run, "the port answers", ready).await;
    assert_eq!(found.failed, None, "port {port}");
}

/// Jupyter comes, or fails, as `failed` says; and the image's program does what it always does.
async fn beside(s: &Subject, has: Has, failed: Option<Reason>) -> Able {
    for own in Own::ALL {
        if has == Has::NoShell && own == Own::Converses {
            continue; // with a shell that is not there
        }
        let w = workload(s, has, own).await?;
        s.start(&w).await;
        if own == Own::Ends {
            assert_eq!(s.ended(w.run).await.code, Some(0), "{own:?}");
            continue;
        }
        if failed.is_none() {
            answers(s, &w, jupyter::PORT).await;
        } else {
            let told =
                |state: Option<&State>| endpoint(state, jupyter::PORT).and_then(|e| e.failed);
            let told = s.until(w.run, "it is told that it failed", told).await;
            assert_eq!(Some(told), failed, "{own:?}");
        }
        if own == Own::Serves {
            answers(s, &w, 8080).await;
        }
        s.running(w.run).await;
        s.remove(w.run).await;
    }
    Ok(())
}

async fn jupyter_of_the_image_answers_beside_its_program(s: Arc<Subject>) -> Able {
    beside(&s, Has::Jupyter, None).await
}

async fn jupyter_is_installed_where_there_is_python(s: Arc<Subject>) -> Able {
    beside(&s, Has::Python, None).await
}

async fn without_python_jupyter_fails_and_the_program_runs(s: Arc<Subject>) -> Able {
    beside(&s, Has::Shell, Some(Reason::JupyterUnavailable)).await
}

async fn without_a_shell_jupyter_fails_and_the_program_runs(s: Arc<Subject>) -> Able {
    beside(&s, Has::NoShell, Some(Reason::JupyterUnavailable)).await
}

async fn jupyter_that_is_not_asked_for_is_not_there(s: Arc<Subject>) -> Able {
    let mut w = workload(&s, Has::Shell, Own::Serves).await?;
    w.jupyter = None;
    s.start(&w).await;
    answers(&s, &w, 8080).await;
    let state = s.state(w.run).await;
    let port = endpoint(state.as_ref(), jupyter::PORT).expect("it is published");
    assert_eq!(port.failed, None, "it is the user's own port");
    let w = s.workload(Program::Succeeds)?;
    s.start(&w).await;
    s.ended(w.run).await;
    assert!(
        !s.log(w.run)
            .await
            .iter()
            .any(|l| l.text.contains("Jupyter"))
    );
    Ok(())
}

async fn a_program_with_jupyter_beside_it_is_told_to_end(s: Arc<Subject>) -> Able {
    let w = workload(&s, Has::Jupyter, Own::Serves).await?;
    s.start(&w).await;
    answers(&s, &w, jupyter::PORT).await;
    s.stop(w.run, Duration::from_secs(30)).await;
    let killed = Some(137);
    assert_ne!(s.ended(w.run).await.code, killed);
    Ok(())
}
