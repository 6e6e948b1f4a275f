//! Who reaches whom on a real engine, by real connections: two owners with two pods each, the pods' addresses, the
//! gateways, published ports, and a port of the server's own.

mod support;

use std::net::{IpAddr, TcpListener};
use std::time::Duration;

use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::query_parameters::{InspectContainerOptions, InspectNetworkOptions};
use futures::StreamExt;
use neuropod_core::Orchestrator;
use neuropod_core::conformance::orchestrator::{self as conformance, Image};
use neuropod_core::id::Tenant;
use neuropod_core::orchestrator::{Ensured, Fence, PortMap, Workload};
use neuropod_core::pod::Proto;
use neuropod_docker::{Config, DockerOrchestrator};
use tokio::net::TcpStream;

use support::{IMAGE, docker, engine, engine_is_there, in_ci, unique};

const PORT: u16 = 8080;
/// What has not answered by then does not.
const PATIENCE: Duration = Duration::from_secs(3);

/// A backend of an installation of its own, which publishes on every address of the host.
async fn backend(pool: &str) -> DockerOrchestrator {
    let config = Config {
        host: engine(),
        bind: "0.0.0.0".to_owned(),
        network_pool: pool.parse().expect("a pool"),
        ..Config::new(unique("isolation"))
    };
    DockerOrchestrator::connect(config)
        .await
        .expect("an engine")
}

/// A pod that answers on its port, and what can be tried against it.
struct Pod {
    w: Workload,
    container: String,
    address: IpAddr,
    gateway: IpAddr,
    published: u16,
}

impl Pod {
    async fn new(backend: &DockerOrchestrator, owner: &str) -> Self {
        let answers = "exec httpd -f -p 8080 -h /www";
        let published = free_port();
        let w = Workload {
            tenant: Tenant::from(owner),
            ports: vec![PortMap {
                container: PORT,
                host: Some(published),
                proto: Proto::Tcp,
            }],
            ..conformance::workload(Image {
                name: IMAGE.to_owned(),
                args: ["sh", "-c", answers].map(str::to_owned).to_vec(),
            })
        };
        let ensured = backend.ensure(&w, &Fence::open()).await;
        assert_eq!(ensured.expect("ensure"), Ensured::Present);
        let container = format!("np-{}-1", w.run.pod);
        let none = None::<InspectContainerOptions>;
        let seen = docker().inspect_container(&container, none).await;
        let networks = seen.expect("it is there").network_settings;
        let networks = networks.and_then(|n| n.networks).expect("networks");
        let [network] = &networks.into_values().collect::<Vec<_>>()[..] else {
            panic!("it is in one network");
        };
        let parse = |address: &Option<String>| address.as_ref()?.parse().ok();
        let pod = Self {
            w,
            container,
            address: parse(&network.ip_address).expect("its address"),
            gateway: parse(&network.gateway).expect("its gateway"),
            published,
        };
        pod.answers_this_host().await;
        pod
    }

    /// As readiness asks, which no rule must keep from it.
    async fn answers_this_host(&self) {
        for place in [(self.address, PORT), (self.gateway, self.published)] {
            let mut tries = 0;
            let connects = || tokio::time::timeout(PATIENCE, TcpStream::connect(place));
            while !matches!(connects().await, Ok(Ok(_))) {
                tries += 1;
                assert!(tries < 20, "{place:?} should answer this host");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    /// Whether a program in this pod gets an answer from there.
    async fn reaches(&self, address: IpAddr, port: u16) -> bool {
        // BusyBox's own wget crashes where it is linked statically.
        let wait = PATIENCE.as_secs();
        let call = format!(
            "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w {wait} {address} {port} | grep -q HTTP"
        );
        let docker = docker();
        let exec = CreateExecOptions {
            cmd: Some(vec!["sh".to_owned(), "-c".to_owned(), call]),
            attach_stdout: Some(true),
            ..CreateExecOptions::default()
        };
        let id = docker.create_exec(&self.container, exec).await;
        let id = id.expect("it runs").id;
        let started = docker.start_exec(&id, None).await.expect("it runs");
        if let StartExecResults::Attached { mut output, .. } = started {
            while output.next().await.is_some() {}
        }
        let code = docker.inspect_exec(&id).await.expect("it ran").exit_code;
        code == Some(0)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A server of this host's own on every address, as NeuroPod's may be.
fn server() -> u16 {
    use std::io::Write;
    let listener = TcpListener::bind(("0.0.0.0", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let mut client = client;
            let _ = client.write_all(b"HTTP\n");
        }
    });
    port
}

/// An address of this host that has nothing to do with our networks.
async fn usual_gateway() -> IpAddr {
    let bridge = docker()
        .inspect_network("bridge", None::<InspectNetworkOptions>)
        .await;
    let ipam = bridge
        .expect("the engine's own network")
        .ipam
        .and_then(|ipam| ipam.config);
    let config = ipam.expect("its addresses").swap_remove(0);
    let subnet = config.subnet.expect("a subnet");
    let gateway = config
        .gateway
        .unwrap_or_else(|| subnet.replace(".0/16", ".1"));
    gateway.parse().expect("an address")
}

/// The caveat that pods reach this host.
async fn unguarded(backend: &DockerOrchestrator) -> Option<String> {
    let caveats = backend.capacity().await.expect("capacity").caveats;
    caveats
        .into_iter()
        .find(|c| c.starts_with("Pods reach every port"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_owner_reaches_another_nor_this_host() {
    if !engine_is_there() {
        return;
    }
    let (one, two) = (backend("10.85.0.0/16").await, backend("10.86.0.0/16").await);
    let server = server();
    let (ann, ben) = ("ann", "ben");
    // The third is of the same name in another installation, which is another owner.
    let pods = [
        (ann, Pod::new(&one, ann).await),
        (ann, Pod::new(&one, ann).await),
        (ben, Pod::new(&one, ben).await),
        (ben, Pod::new(&one, ben).await),
        ("other ann", Pod::new(&two, ann).await),
    ];
    if let Some(caveat) = unguarded(&one).await {
        assert!(!in_ci(), "{caveat}");
        println!("not run: {caveat}");
    } else {
        let mut tries = Vec::new();
        for (owner, from) in &pods {
            for (other, to) in &pods {
                tries.push((from, to.address, PORT, owner == other));
                tries.push((from, from.gateway, to.published, false));
                tries.push((from, to.gateway, to.published, false));
            }
            tries.push((from, from.gateway, server, false));
            tries.push((from, usual_gateway().await, server, false));
        }
        println!("{} connections", tries.len());
        let outcomes = tries
            .into_iter()
            .map(|(from, address, port, may)| async move {
                let owner = &from.w.tenant;
                let reached = from.reaches(address, port).await;
                assert_eq!(
                    reached, may,
                    "{owner} at {} to {address}:{port}",
                    from.address
                );
            });
        futures::stream::iter(outcomes)
            .buffer_unordered(20)
            .collect::<Vec<()>>()
            .await;
    }
    for (i, (_, pod)) in pods.iter().enumerate() {
        let backend = if i < 4 { &one } else { &two };
        backend.purge(pod.w.run.pod).await.expect("purged");
    }
}

#[tokio::test]
async fn what_is_published_beyond_the_host_is_told() {
    if !engine_is_there() {
        return;
    }
    let config = |bind: &str| Config {
        host: engine(),
        bind: bind.to_owned(),
        ..Config::new(unique("published"))
    };
    for (bind, told) in [
        ("127.0.0.1", false),
        ("::1", false),
        ("0.0.0.0", true),
        ("192.0.2.1", true),
    ] {
        let backend = DockerOrchestrator::connect(config(bind))
            .await
            .expect("an engine");
        let caveats = backend.capacity().await.expect("capacity").caveats;
        let is = caveats
            .iter()
            .any(|c| c.contains(&format!("published on {bind}:")));
        assert_eq!(is, told, "{bind}: {caveats:?}");
    }
}
