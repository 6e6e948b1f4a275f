use std::time::Duration;

use super::*;
use crate::id::TemplateId;
use crate::pod::{PortSpec, Proto};
use crate::time::Time;

fn good() -> Launch {
    Launch::image("ubuntu:22.04").name("demo").port(8080)
}

/// What `check` complains of, as `pointer: message`.
fn complaints(ask: &Launch) -> Vec<String> {
    match ask.check(&PriceList::seed(), None) {
        Ok(_) => Vec::new(),
        Err(e) => {
            assert_eq!(*e.kind(), ErrorKind::Invalid, "{e:?}");
            e.fields()
                .iter()
                .map(|f| format!("{}: {}", f.pointer, f.message))
                .collect()
        }
    }
}

#[test]
fn each_wrong_part_is_named_in_a_sentence() {
    let long = "x".repeat(10_000);
    for (ask, pointer, says) in [
        (good().name(""), "/name", "needs a name"),
        (good().name("   "), "/name", "needs a name"),
        (
            good().name("x".repeat(51)),
            "/name",
            "at most 50 characters, not 51",
        ),
        (good().name(&*long), "/name", "not 10000"),
        (good().name("a\0b"), "/name", r"a\0b"),
        (good().name("a\nb"), "/name", "line break"),
        (good().name("a\n"), "/name", "line break"),
        (good().name("a\u{202e}b"), "/name", "control character"),
        (good().name("a\u{2028}b"), "/name", "line break"),
        (good().gpu("rtx-9999"), "/gpu", "no GPU \"rtx-9999\""),
        (good().gpu(""), "/gpu", "offered are cpu, rtx-4050"),
        (good().gpu(&long), "/gpu", "…"),
        (good().gpu("CPU"), "/gpu", "no GPU \"CPU\""),
        (
            good().disks(0, 20),
            "/containerDiskSize",
            "1 to 100 GB, not 0",
        ),
        (good().disks(-5, 20), "/containerDiskSize", "not -5"),
        (good().disks(101, 20), "/containerDiskSize", "not 101"),
        (
            good().disks(i64::MAX, 20),
            "/containerDiskSize",
            "not 9223372036854775807",
        ),
        (good().disks(10, 0), "/volumeDiskSize", "1 to 150 GB, not 0"),
        (
            good().disks(10, i64::MIN),
            "/volumeDiskSize",
            "not -9223372036854775808",
        ),
        (good().disks(10, 151), "/volumeDiskSize", "not 151"),
        (good().port(0), "/ports", "Port 0 can't be published"),
        (good().port(-1), "/ports", "Port -1 "),
        (good().port(65_536), "/ports", "Port 65536 "),
        (good().port(8080), "/ports", "8080 is listed twice"),
        (good().tcp_port(8080), "/tcpPorts", "8080 is listed twice"),
        (good().tcp_port(0), "/tcpPorts", "Port 0 "),
        (
            good().tcp_port(8888).jupyter(),
            "/tcpPorts",
            "8888 is listed twice",
        ),
        (
            (1..=10).fold(good(), |l, p| l.port(p)),
            "/ports",
            "at most 10 ports, not 11",
        ),
        (
            (1..=9).fold(good(), |l, p| l.port(p)).jupyter(),
            "/ports",
            "Jupyter's among them",
        ),
        (
            good().env("NEUROPOD_POD_ID", "x"),
            "/env/NEUROPOD_POD_ID",
            "reserved",
        ),
        (
            good().env("NVIDIA_VISIBLE_DEVICES", "all"),
            "/env/NVIDIA_VISIBLE_DEVICES",
            "reserved",
        ),
        (
            good().env("NVIDIA_DRIVER_CAPABILITIES", "all"),
            "/env/NVIDIA_DRIVER_CAPABILITIES",
            "reserved",
        ),
        (
            good().env("JUPYTER_TOKEN", "x"),
            "/env/JUPYTER_TOKEN",
            "JUPYTER_TOKEN is reserved",
        ),
        (good().env("", "x"), "/env/", "can't name"),
        (good().env("A=B", "x"), "/env/A=B", "can't name"),
        (good().env("1A", "x"), "/env/1A", "can't name"),
        (good().env("A\nB", "x"), "/env/A\nB", r"A\nB"),
        (good().env("a/b~c", "x"), "/env/a~1b~0c", "can't name"),
        (
            good().env("x".repeat(129), "x"),
            "/env/xxx",
            "at most 128 characters",
        ),
        (
            good().env("FOO", "a\0b"),
            "/env/FOO",
            "value of FOO holds a control character",
        ),
        (
            good().env("FOO", &*long.repeat(4)),
            "/env",
            "at most 32768 bytes",
        ),
        (
            (0..101).fold(good(), |l, i| l.env(format!("V{i}"), "")),
            "/env",
            "At most 100",
        ),
        (good().args(["ok", "a\0b"]), "/args/1", "control character"),
        (
            good().args(vec!["x"; 101]),
            "/args",
            "At most 100 arguments",
        ),
        (good().args([long.repeat(4)]), "/args", "32768 bytes"),
        (
            good().stop_after(Duration::ZERO),
            "/stopAfter",
            "more than nothing",
        ),
        (
            good().delete_after(Duration::MAX),
            "/deleteAfter",
            "at most 366 days",
        ),
        (
            Launch::template(TemplateId::from_bytes([7; 12])),
            "/template",
            "no template 070707",
        ),
    ] {
        let complaints = complaints(&ask);
        let [only] = &complaints[..] else {
            panic!("{ask:?} gave {complaints:?}")
        };
        assert!(only.starts_with(pointer) && only.contains(says), "{only}");
        assert!(only.ends_with('.') && only.len() < 450, "{only}");
    }
}

#[test]
fn everything_wrong_is_said_at_once() {
    let ask = Launch::image("UBUNTU")
        .name("")
        .gpu("x")
        .disks(0, 0)
        .port(0)
        .env("1", "");
    let complaints = complaints(&ask);
    let pointers: Vec<&str> = complaints
        .iter()
        .map(|c| c.split(':').next().unwrap())
        .collect();
    assert_eq!(
        pointers,
        [
            "/dockerImage",
            "/gpu",
            "/containerDiskSize",
            "/volumeDiskSize",
            "/name",
            "/env/1",
            "/ports"
        ]
    );
}

#[test]
fn secrets_in_values_are_never_repeated() {
    let ask = good().env("FOO", "hunter2\0").env("1", "hunter2");
    assert!(!complaints(&ask).concat().contains("hunter2"));
    assert!(!format!("{ask:?}").contains("hunter2"));
}

#[test]
fn image_references_follow_the_grammar() {
    let hex = "0123456789abcdef".repeat(4);
    for good in [
        "ubuntu",
        "ubuntu:22.04",
        "library/ubuntu",
        "a/b/c/d:latest",
        "a__b/c---d.e_f:T_a.g-",
        "localhost/x",
        "localhost:5000/x:y",
        "registry.example.com/x",
        "registry.example.com:443/team/x:1",
        "EXAMPLE.com/x",
        "[2001:db8::1]:5000/x",
        "[::1]/x",
        "10.0.0.1:5000/x",
        &format!("ubuntu@sha256:{hex}"),
        &format!("ubuntu:22.04@sha512:{hex}{hex}"),
        &format!("x:{}", "t".repeat(128)),
        &"x".repeat(255),
    ] {
        assert_eq!(image::check(good), Ok(()), "{good}");
    }
    for (bad, says) in [
        ("", "needed"),
        (" ", "blank"),
        ("ubuntu 22", "blank"),
        ("ubuntu\n", "blank"),
        ("ubuntu\0", "control"),
        ("Ubuntu", "lower case"),
        ("team/Ubuntu", "lower case"),
        ("-ubuntu", "malformed"),
        ("ubuntu-", "malformed"),
        ("a..b", "malformed"),
        ("a___b", "malformed"),
        ("a._b", "malformed"),
        ("/ubuntu", "malformed"),
        ("ubuntu/", "malformed"),
        ("a//b", "malformed"),
        ("../../etc/passwd", "malformed"),
        ("ubuntu;reboot", "malformed"),
        ("$(reboot)", "malformed"),
        ("ubüntu", "malformed"),
        ("http://x/y", "registry"),
        ("-bad.example.com/x", "registry"),
        ("example..com/x", "registry"),
        ("example.com:port/x", "registry"),
        ("example.com:70000/x", "registry"),
        ("[::zz]:1/x", "registry"),
        ("ubuntu:", "tag"),
        ("ubuntu:-x", "tag"),
        ("ubuntu:a:b", "tag"),
        ("ubuntu:é", "tag"),
        (&format!("x:{}", "t".repeat(129)), "tag"),
        ("ubuntu@", "digest"),
        ("ubuntu@sha256:abc", "digest"),
        (&format!("ubuntu@md5:{hex}"), "digest"),
        (&format!("ubuntu@sha256:{}", hex.to_uppercase()), "digest"),
        (&format!("ubuntu@sha256:{hex}@sha256:{hex}"), "digest"),
        (&hex, "image id"),
        (&"x".repeat(256), "255"),
    ] {
        let message = image::check(bad).expect_err(bad);
        assert!(
            message.contains(says) && message.ends_with('.'),
            "{bad:?}: {message}"
        );
    }
}

#[test]
fn a_gpu_that_is_not_offered_is_another_matter() {
    let refused = |ask: &Launch| ask.check(&PriceList::seed(), None).unwrap_err();
    let e = refused(&good().gpu("rtx-4090"));
    assert_eq!(*e.kind(), ErrorKind::GpuUnavailable);
    assert!(e.message().contains("rtx-4090"), "{e}");
    assert_eq!(
        *refused(&good().gpu("rtx-4090").name("")).kind(),
        ErrorKind::Invalid
    );
}

fn template() -> Template {
    Template::seeds(Time::EPOCH).remove(1)
}

fn names(ports: &[PortSpec]) -> Vec<(u16, &str, bool)> {
    ports
        .iter()
        .filter(|p| p.proto == Proto::Http)
        .map(|p| (p.container, p.name.as_str(), p.custom))
        .collect()
}

#[test]
fn services_are_named_by_the_template_or_by_their_place() {
    let image = |ask: Launch| ask.check(&PriceList::seed(), None).unwrap().ports;
    let comfy = template();
    let of = |ask: Launch| ask.check(&PriceList::seed(), Some(&comfy)).unwrap().ports;
    let ask = || Launch::image("ubuntu");
    let from = || Launch::template(comfy.id);

    assert_eq!(names(&image(ask())), []);
    assert_eq!(
        names(&image(ask().jupyter())),
        [(8888, "Jupyter Lab", false)]
    );
    assert_eq!(
        names(&image(ask().port(80).port(8888))),
        [(80, "Servicio 1", true), (8888, "Servicio 2", true)]
    );
    assert_eq!(
        names(&image(ask().port(8888).port(443).jupyter())),
        [(8888, "Jupyter Lab", false), (443, "Servicio 2", true)]
    );
    assert_eq!(
        names(&of(from())),
        [
            (8188, "ComfyUI Web Interface", false),
            (8888, "Jupyter Lab", false)
        ]
    );
    assert_eq!(
        names(&of(from().port(3000).port(8188))),
        [
            (3000, "Servicio 1", true),
            (8188, "ComfyUI Web Interface", false)
        ]
    );
    assert_eq!(
        names(&of(from().port(8188).jupyter())),
        [
            (8188, "ComfyUI Web Interface", false),
            (8888, "Jupyter Lab", false)
        ]
    );
    let mut without = template();
    without.ports.retain(|p| p.container != 8888);
    let ports = from()
        .jupyter()
        .check(&PriceList::seed(), Some(&without))
        .unwrap()
        .ports;
    assert_eq!(
        names(&ports),
        [
            (8188, "ComfyUI Web Interface", false),
            (8888, "Jupyter Lab", false)
        ]
    );
    let tcp: Vec<(u16, String)> = of(from().tcp_port(5432).tcp_port(22))
        .into_iter()
        .filter(|p| p.proto == Proto::Tcp)
        .map(|p| (p.container, p.name))
        .collect();
    assert_eq!(
        tcp,
        [(5432, "Servicio 1".to_owned()), (22, "SSH".to_owned())]
    );
}

#[test]
fn a_good_ask_becomes_the_specification() {
    let spec = Launch::image(" neuropod/demo:latest ")
        .name("  hello  ")
        .gpu("rtx-4050")
        .env("PEM", "a\nb\tc")
        .args(["sh", "-c", "echo a\necho b"])
        .check(&PriceList::seed(), None)
        .unwrap();
    assert_eq!(spec.name, "hello");
    assert_eq!(spec.image, "neuropod/demo:latest");
    assert_eq!((spec.container_disk_gb, spec.volume_disk_gb), (10, 20));
    assert_eq!((spec.devices, spec.volume_path.as_str()), (1, "/workspace"));
    assert_eq!(spec.args[2], "echo a\necho b");

    let comfy = template();
    let spec = Launch::template(comfy.id)
        .check(&PriceList::seed(), Some(&comfy))
        .unwrap();
    assert_eq!(spec.template, Some(comfy.id));
    assert_eq!((spec.container_disk_gb, spec.volume_disk_gb), (20, 50));
    let spec = Launch::template(comfy.id)
        .disks(30, 60)
        .check(&PriceList::seed(), Some(&comfy));
    assert_eq!(spec.unwrap().volume_disk_gb, 60);
}
