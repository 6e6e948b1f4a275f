//! What a container needs on the host: ports and devices, which others may have.

use std::sync::Arc;
use std::time::Duration;

use super::subject::next;
use super::{Able, Outside, Program, Subject};
use crate::conformance::{Case, cases};
use crate::error::{ErrorKind, RetryCause};
use crate::id::DeviceId;
use crate::orchestrator::{ExitCause, PortMap, State, Workload};
use crate::pod::{Endpoint, Proto};

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        ports_are_published_where_they_were_leased,
        a_port_is_ready_once_it_answers,
        a_taken_port_is_told_and_stays_seen,
        what_a_taken_port_left_is_removed_by_stop,
        a_port_is_free_again_after_the_end,
        a_container_is_given_the_devices_that_are_named_and_no_other,
        a_container_without_devices_is_given_none,
        a_device_that_is_not_there_is_told,
    ]
}

fn port(container: u16, host: u16, proto: Proto) -> PortMap {
    PortMap {
        container,
        host: Some(host),
        proto,
    }
}

/// Its endpoints, if it runs.
fn endpoints(state: Option<&State>) -> Option<&[Endpoint]> {
    match state {
        Some(State::Running { endpoints, .. }) => Some(endpoints),
        _ => None,
    }
}

async fn ports_are_published_where_they_were_leased(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::Sleeps)?;
    let hosts = [s.fixture.free_port()?, s.fixture.free_port()?];
    w.ports = vec![
        port(22, hosts[0], Proto::Tcp),
        port(8888, hosts[1], Proto::Http),
    ];
    s.start(&w).await;
    let state = s.state(w.run).await;
    let mut found = endpoints(state.as_ref()).expect("it runs").to_vec();
    found.sort_by_key(|e| e.container);
    let told: Vec<_> = found
        .iter()
        .map(|e| (e.container, e.port, e.proto))
        .collect();
    assert_eq!(
        told,
        [(22, hosts[0], Proto::Tcp), (8888, hosts[1], Proto::Http)]
    );
    assert!(found.iter().all(|e| !e.host.is_empty()));
    Ok(())
}

async fn a_port_is_ready_once_it_answers(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::Serves)?;
    w.ports = vec![port(8080, s.fixture.free_port()?, Proto::Http)];
    s.start(&w).await;
    let ready = |state: Option<&State>| endpoints(state).is_some_and(|all| all[0].ready);
    assert!(!ready(s.state(w.run).await.as_ref()), "nothing listens yet");
    s.until(w.run, "it is ready", |state| ready(state).then_some(()))
        .await;
    assert!(ready(s.state(w.run).await.as_ref()), "it stays ready");
    Ok(())
}

/// A workload whose port somebody else has.
async fn on_a_taken_port(s: &Subject) -> Able<Workload> {
    let mut w = s.workload(Program::Sleeps)?;
    let taken = s.fixture.free_port()?;
    s.fixture.outside(Outside::Occupy(taken)).await?;
    w.ports = vec![port(8080, taken, Proto::Http)];
    let refused = s.try_ensure(&w).await.unwrap_err();
    let expected = ErrorKind::Retry(RetryCause::PortTaken);
    assert_eq!(*refused.kind(), expected, "{refused:?}");
    Ok(w)
}

async fn a_taken_port_is_told_and_stays_seen(s: Arc<Subject>) -> Able {
    let w = on_a_taken_port(&s).await?;
    let end = s.ended(w.run).await;
    assert_eq!(end.started_at, None);
    assert_eq!(end.finished_at, None);
    assert_eq!(end.cause, ExitCause::Retry(RetryCause::PortTaken));
    let again = s.try_ensure(&w).await.unwrap_err();
    assert_eq!(*again.kind(), ErrorKind::Retry(RetryCause::PortTaken));
    Ok(())
}

async fn what_a_taken_port_left_is_removed_by_stop(s: Arc<Subject>) -> Able {
    let w = on_a_taken_port(&s).await?;
    s.stop(w.run, Duration::from_secs(1)).await;
    s.absent(w.run).await;
    let mut other = next(&w);
    other.ports[0].host = Some(s.fixture.free_port()?);
    s.run(&other).await;
    Ok(())
}

async fn a_port_is_free_again_after_the_end(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::Sleeps)?;
    w.ports = vec![port(8080, s.fixture.free_port()?, Proto::Http)];
    s.start(&w).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    s.ended(w.run).await;
    s.run(&next(&w)).await;
    Ok(())
}

async fn a_container_is_given_the_devices_that_are_named_and_no_other(s: Arc<Subject>) -> Able {
    let [first, second] = s.fixture.free_devices()?;
    let with = |devices: &[&DeviceId]| -> Able<Workload> {
        Ok(Workload {
            devices: devices.iter().map(|&id| id.clone()).collect(),
            ..s.workload(Program::Sleeps)?
        })
    };
    for devices in [&[&second][..], &[&first, &second]] {
        let w = with(devices)?;
        s.run(&w).await;
        assert_eq!(s.fixture.given(w.run).await?, w.devices);
        s.remove(w.run).await;
    }
    Ok(())
}

async fn a_container_without_devices_is_given_none(s: Arc<Subject>) -> Able {
    s.fixture.free_devices()?;
    let w = s.workload(Program::Sleeps)?;
    s.run(&w).await;
    assert_eq!(s.fixture.given(w.run).await?, []);
    Ok(())
}

async fn a_device_that_is_not_there_is_told(s: Arc<Subject>) -> Able {
    let mut w = s.workload(Program::Sleeps)?;
    w.devices = vec![DeviceId::from("GPU-00000000-dead-beef-0000-000000000000")];
    let refused = s.try_ensure(&w).await.unwrap_err();
    let expected = ErrorKind::Retry(RetryCause::GpuAdmission);
    assert_eq!(*refused.kind(), expected, "{refused:?}");
    let end = s.ended(w.run).await;
    assert_eq!(end.started_at, None);
    assert_eq!(end.cause, ExitCause::Retry(RetryCause::GpuAdmission));
    Ok(())
}
