//! What a run uses, and what the backend has. What can't be measured is nothing, not 0.

use std::sync::Arc;
use std::time::Duration;

use super::{Able, Program, Subject};
use crate::conformance::{Case, cases};
use crate::orchestrator::Usage;

pub(super) fn cases() -> impl IntoIterator<Item = Case<Subject, Able>> {
    cases![
        usage_of_what_runs_has_its_time_and_its_limit,
        usage_of_what_does_not_run_is_unknown,
        usage_of_no_device_is_unknown,
        usage_of_a_cpu_grows,
        capacity_names_every_device,
    ]
}

async fn usage(s: &Subject, w: &crate::orchestrator::Workload) -> Usage {
    s.orchestrator.usage(w.run).await.expect("usage")
}

async fn usage_of_what_runs_has_its_time_and_its_limit(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    let started_at = s.run(&w).await;
    let used = usage(&s, &w).await;
    assert!(used.at >= Some(started_at), "{used:?}");
    assert_eq!(used.memory_limit_bytes, Some(w.resources.memory_bytes));
    assert_ne!(used.memory_bytes, Some(0));
    assert!(used.memory_bytes <= used.memory_limit_bytes);
    Ok(())
}

async fn usage_of_what_does_not_run_is_unknown(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    assert_eq!(usage(&s, &w).await, Usage::default());
    s.create(&w).await;
    assert_eq!(usage(&s, &w).await, Usage::default());
    s.start(&w).await;
    s.stop(w.run, Duration::from_secs(1)).await;
    s.ended(w.run).await;
    assert_eq!(usage(&s, &w).await, Usage::default());
    Ok(())
}

async fn usage_of_no_device_is_unknown(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Sleeps)?;
    s.start(&w).await;
    let used = usage(&s, &w).await;
    assert_eq!(used.gpus, []);
    assert_eq!((used.gpu_percent(), used.gpu_memory_bytes()), (None, None));
    Ok(())
}

async fn usage_of_a_cpu_grows(s: Arc<Subject>) -> Able {
    let w = s.workload(Program::Computes)?;
    s.start(&w).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    let first = usage(&s, &w).await.cpu_micros;
    while usage(&s, &w).await.cpu_micros <= first {
        assert!(tokio::time::Instant::now() < deadline, "it does not grow");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn capacity_names_every_device(s: Arc<Subject>) -> Able {
    let capacity = s.orchestrator.capacity().await.expect("capacity");
    for device in &capacity.devices {
        assert!(!device.id.as_str().is_empty() && !device.product.is_empty());
        assert!(device.memory_mib > 0, "{device:?}");
    }
    assert!(capacity.caveats.iter().all(|c| c.ends_with('.')));
    Ok(())
}
