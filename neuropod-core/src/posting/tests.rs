//! What is posted when a month ends. In these tests it is 1970.

use super::*;

fn time(s: &str) -> Time {
    s.parse().unwrap()
}

#[test]
fn what_is_open_is_posted_a_minute_after_its_month() {
    let december = time("2026-12-31T23:59:59Z");
    assert_eq!(next(december), time("2027-01-01T00:01:00Z"));
    let payer = AccountId::from("user:x");
    let (readings, later) = due(&payer, &[crate::fixture::running()], december);
    assert!(
        readings
            .iter()
            .all(|r| r.at == time("2026-12-01T00:00:00Z"))
    );
    assert_eq!(later, Some(next(december)));
    assert_eq!(due(&payer, &[], december), (Vec::new(), None));
}

#[test]
fn a_run_is_read_for_the_generation_it_was_opened_for() {
    let mut pod = crate::fixture::running();
    pod.generation = 3;
    let readings = readings(&AccountId::from("user:x"), &[pod], crate::fixture::at(3));
    let generations = readings.iter().map(|r| (r.meter, r.generation));
    let pod = crate::id::PodId::from_bytes([1; 8]);
    assert!(generations.eq([(Meter::Run(pod, 1), 1), (Meter::Volume(pod), 3)]));
}
