use super::*;
use crate::fault::{Call, Fault, Faulty};
use crate::id::RunKey;
use crate::memory::{Behaviour, MemoryOrchestrator};
use crate::time::SystemClock;
use crate::{Launch, Settings};
use std::sync::atomic::{AtomicUsize, Ordering};

const LINES: usize = 3000;

/// A platform whose loops run, and whose engine has `numbers`: 3,000 lines of 200 bytes, one each 10 ms. And how often a log
/// was asked for.
async fn platform() -> (Platform, Arc<AtomicUsize>) {
    let clock = SystemClock::anchored(crate::fixture::NOW);
    let line = |n: usize| (Duration::from_millis(10) * n as u32, format!("{n:0200}"));
    let numbers = Behaviour {
        prints: (0..LINES).map(line).collect(),
        ..Behaviour::default()
    };
    let engine = MemoryOrchestrator::builder()
        .clock(clock.clone())
        .image("numbers", numbers)
        .build();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let engine = Faulty::new(engine, move |call: Call| {
        count.fetch_add(usize::from(call.operation == "logs"), Ordering::Relaxed);
        Fault::default()
    });
    let platform = Platform::builder()
        .orchestrator(engine)
        .clock(clock)
        .settings(Settings::default())
        .build()
        .await
        .unwrap();
    let loops = platform.clone();
    tokio::spawn(async move { loops.run(std::future::pending()).await });
    (platform, asked)
}

async fn launch(platform: &Platform) -> PodId {
    let launch = Launch::image("numbers").gpu("cpu");
    let pod = platform.launch(&Identity::local(), &launch).await.unwrap();
    until(platform, pod.id, |pod| {
        pod.run.as_ref().is_some_and(|r| r.started_at.is_some())
    })
    .await;
    pod.id
}

async fn until(platform: &Platform, id: PodId, is: impl Fn(&Pod) -> bool) {
    while !is(&platform.pod(&Identity::local(), id).await.unwrap()) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

type Told = Vec<(u32, String)>;

struct Viewer {
    items: BoxStream<'static, Result<Vec<LogItem>>>,
    told: Told,
    last: Option<LogCursor>,
    gaps: Vec<Option<u64>>,
}

impl Viewer {
    async fn new(platform: &Platform, pod: PodId, from: LogFrom) -> Self {
        let items = platform.follow_logs(&Identity::local(), pod, from).await;
        Self {
            items: items.unwrap(),
            told: Vec::new(),
            last: None,
            gaps: Vec::new(),
        }
    }

    /// Reads until it has been told so many lines.
    async fn read(&mut self, lines: usize) {
        while self.told.len() < lines {
            for item in self.items.next().await.expect("it goes on").unwrap() {
                match item {
                    LogItem::Line(line) => {
                        self.last = Some(line.cursor);
                        self.told.push((line.cursor.run.n, line.text.clone()));
                    }
                    LogItem::Gap { lost } => self.gaps.push(lost),
                }
            }
        }
    }
}

fn lines(run: u32, range: std::ops::Range<usize>) -> Told {
    range.map(|n| (run, format!("{n:0200}"))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_log_is_read_once_however_many_follow_it() {
    let (platform, asked) = platform().await;
    let pod = launch(&platform).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let before = asked.load(Ordering::Relaxed);
    let mut viewers = Vec::new();
    for _ in 0..50 {
        viewers.push(Viewer::new(&platform, pod, LogFrom::Tail(100)).await);
    }
    let reads = viewers.iter_mut().map(|viewer| viewer.read(1000));
    futures::future::join_all(reads).await;
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1);
    for viewer in &viewers {
        let first: usize = viewer.told[0].1.parse().unwrap();
        assert!((390..=450).contains(&first), "{first}");
        assert_eq!(viewer.told, lines(1, first..first + viewer.told.len()));
        assert_eq!(viewer.gaps, []);
    }
    drop(viewers);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(asked.load(Ordering::Relaxed) - before, 1, "nobody reads on");
}

#[tokio::test(start_paused = true)]
async fn no_line_is_lost_or_told_twice_over_stop_start_and_reconnects() {
    let (platform, _) = platform().await;
    let me = Identity::local();
    let pod = launch(&platform).await;
    let mut viewer = Viewer::new(&platform, pod, LogFrom::Tail(5000)).await;
    let mut told = Told::new();
    // Cut off amid the first run, while the pod is stopped, and amid the second.
    for (then, more) in [
        (None, 300),
        (Some("stop"), 200),
        (Some("start"), 700),
        (None, 600),
    ] {
        match then {
            Some("stop") => drop(platform.stop(&me, pod).await.unwrap()),
            Some(_) => drop(platform.start(&me, pod).await.unwrap()),
            None => {}
        }
        let wanted = match then {
            Some("stop") => 0,
            _ => more,
        };
        viewer.read(wanted).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(viewer.gaps, []);
        let last = viewer.last.map_or(LogFrom::Tail(5000), LogFrom::After);
        told.append(&mut viewer.told);
        viewer = Viewer::new(&platform, pod, last).await;
        viewer.last = match last {
            LogFrom::After(place) => Some(place),
            _ => None,
        };
    }
    let of = |run| told.iter().filter(|(n, _)| *n == run).count();
    assert!(of(1) >= 300 && of(2) >= 900, "{} {}", of(1), of(2));
    let expected = [lines(1, 0..of(1)), lines(2, 0..of(2))].concat();
    assert_eq!(told, expected);
    // All that the first run had printed.
    let ended = told.iter().position(|(n, _)| *n == 2).unwrap();
    assert!(ended >= 300);
}

#[tokio::test(start_paused = true)]
async fn who_is_slower_than_the_ring_reads_what_he_missed_from_the_backend() {
    let (platform, asked) = platform().await;
    let pod = launch(&platform).await;
    let mut slow = Viewer::new(&platform, pod, LogFrom::Tail(5000)).await;
    slow.read(10).await;
    let mut quick = Viewer::new(&platform, pod, LogFrom::Tail(1)).await;
    // Three times what a ring holds... would take long here: the ring is emptied instead.
    quick.read(LINES - 100).await;
    let hub = platform.0.hubs.of(&platform.0, quick.last.unwrap().run);
    hub.forget_all_but(10);
    let before = asked.load(Ordering::Relaxed);
    slow.read(LINES).await;
    assert_eq!(slow.told, lines(1, 0..LINES));
    assert_eq!(slow.gaps, []);
    assert!(asked.load(Ordering::Relaxed) > before);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_no_longer_is_told_as_a_gap() {
    let (platform, _) = platform().await;
    let me = Identity::local();
    let pod = launch(&platform).await;
    let mut viewer = Viewer::new(&platform, pod, LogFrom::Tail(5000)).await;
    viewer.read(10).await;
    let last = viewer.last.unwrap();
    drop(viewer);
    tokio::time::sleep(Duration::from_secs(60)).await;
    platform.stop(&me, pod).await.unwrap();
    until(&platform, pod, |pod| pod.run.is_none()).await;
    // Of 600 kB 256 KiB are kept.
    let mut again = Viewer::new(&platform, pod, LogFrom::After(last)).await;
    again.read(1000).await;
    assert_eq!(again.gaps, [None]);
    let first: usize = again.told[0].1.parse().unwrap();
    assert!(first > 1000, "{first}");
    again.read(LINES - first).await;
    assert_eq!(again.told, lines(1, first..LINES));

    let mut of_another = last;
    of_another.run.n = 7;
    of_another.run.key = RunKey::from_bytes([7; 8]);
    let mut lost = Viewer::new(&platform, pod, LogFrom::After(of_another)).await;
    platform.start(&me, pod).await.unwrap();
    let first = lost.items.next().await.unwrap().unwrap();
    assert_eq!(first, [LogItem::Gap { lost: None }]);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_another_pods_log_is_refused_and_the_log_ends_with_the_pod() {
    let (platform, _) = platform().await;
    let me = Identity::local();
    let (pod, other) = (launch(&platform).await, launch(&platform).await);
    let mut viewer = Viewer::new(&platform, other, LogFrom::Tail(1)).await;
    viewer.read(1).await;
    let foreign = LogFrom::After(viewer.last.unwrap());
    let refused = platform.follow_logs(&me, pod, foreign).await;
    assert_eq!(*refused.err().unwrap().kind(), ErrorKind::Invalid);
    platform.delete(&me, other).await.unwrap();
    while viewer.items.next().await.is_some() {}
}
