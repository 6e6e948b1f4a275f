//! What the meters of a pod count, for [`Reading`](crate::billing::Reading)s: product, quantity, rate and span.

use std::time::Duration;

use crate::funds;
use crate::pod::{Pod, Run, Volume};
use crate::store::{Meter, Used};
use crate::time::Time;

/// What `run` of `pod` has used if it is charged for `elapsed`.
pub fn of_run(pod: &Pod, run: &Run, elapsed: Duration) -> Used {
    let from = run.charged_from.unwrap_or(run.opened_at);
    Used {
        product: pod.spec.gpu.to_string(),
        quantity: pod.spec.devices,
        rate: run.terms.run_rate,
        from,
        to: from + elapsed,
    }
}

/// What the `volume` of `pod` has used by `at`.
pub fn of_volume(pod: &Pod, volume: &Volume, at: Time) -> Used {
    let to = volume.closed_at.map_or(at, |closed| closed.min(at));
    // A row of an earlier release has not kept when it was opened.
    let from = volume.opened_at.unwrap_or_else(|| to - volume.elapsed(at));
    Used {
        product: "volume".to_owned(),
        quantity: pod.spec.volume_disk_gb,
        rate: volume.rate,
        from,
        to,
    }
}

/// What a meter of `pod` has used by `at`, if it is open.
pub fn by(pod: &Pod, meter: Meter, at: Time) -> Option<Used> {
    match meter {
        Meter::Run(..) => {
            let run = pod.run.as_ref()?;
            Some(of_run(pod, run, funds::charged(run, at)))
        }
        Meter::Volume(_) => {
            let volume = pod.volume.as_ref()?;
            Some(of_volume(pod, volume, at))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{at, running};
    use crate::money::Money;

    #[test]
    fn a_run_is_used_from_its_charged_start_to_its_cutoff() {
        let mut pod = running();
        let meter = Meter::Run(pod.id, 1);
        let span = |pod: &Pod| {
            let used = by(pod, meter, at(100)).unwrap();
            (used.from, used.to)
        };
        assert_eq!(span(&pod), (at(1), at(100)));
        let run = pod.run.as_mut().unwrap();
        (run.last_seen, run.cutoff) = (Some(at(50)), Some(at(60)));
        assert_eq!(span(&pod), (at(1), at(60)));
        pod.run.as_mut().unwrap().cutoff = Some(at(40));
        assert_eq!(span(&pod), (at(1), at(40)));
        pod.run = None;
        assert_eq!(by(&pod, meter, at(100)), None);
    }

    #[test]
    fn a_volume_is_used_until_it_is_closed() {
        let mut pod = running();
        pod.spec.volume_disk_gb = 30;
        let meter = Meter::Volume(pod.id);
        let used = by(&pod, meter, at(100)).unwrap();
        let expected = Used {
            product: "volume".to_owned(),
            quantity: 30,
            rate: pod.volume.as_ref().unwrap().rate,
            from: at(2),
            to: at(100),
        };
        assert_eq!(used, expected);
        // A row of an earlier release tells the same.
        let volume = pod.volume.as_mut().unwrap();
        volume.opened_at = None;
        assert_eq!(by(&pod, meter, at(100)), Some(expected.clone()));
        let volume = pod.volume.as_mut().unwrap();
        volume.opened_at = Some(at(2));
        volume.close(at(70));
        volume.close(at(80));
        let expected = Used {
            to: at(70),
            ..expected
        };
        assert_eq!(by(&pod, meter, at(100)), Some(expected));
        assert!(pod.volume.unwrap().rate > Money::ZERO);
    }
}
