use super::*;
use neuropod::k8s::Exposure;

const SECRET: &str = "f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2";

fn config(arguments: &[&str]) -> Config {
    Config::try_parse_from([&["neuropod-server"], arguments].concat()).unwrap()
}

#[test]
fn the_default_is_what_holds_without_arguments() {
    let (default, none) = (Config::default(), config(&[]));
    assert_eq!(format!("{default:?}"), format!("{none:?}"));
}

#[test]
fn development_mode_listens_on_loopback_only() {
    for host in ["127.0.0.1", "::1", "[::1]", "localhost"] {
        let address = config(&["--dev", "--host", host]).address().unwrap();
        assert!(address.ip().is_loopback(), "{host}");
    }
    for host in ["0.0.0.0", "::", "192.0.2.1"] {
        let e = config(&["--dev", "--host", host]).address().unwrap_err();
        assert!(e.message().contains("NEUROPOD_DEV_EXPOSED"), "{e}");
        config(&["--dev", "--dev-exposed", "--host", host])
            .address()
            .unwrap();
        config(&["--host", host]).address().unwrap();
    }
}

#[test]
fn a_server_for_others_needs_a_real_secret() {
    let keys = |arguments: &[&str]| config(arguments).signing_keys();
    assert!(keys(&[]).unwrap_err().message().contains("JWT_SECRET"));
    assert!(keys(&["--jwt-secret", ""]).is_err());
    assert!(
        keys(&[
            "--jwt-secret",
            "your-super-secret-jwt-key-change-in-production"
        ])
        .is_err()
    );
    assert!(keys(&["--dev", "--jwt-secret", "short"]).is_err());
    assert!(keys(&["--dev"]).is_ok());
    assert!(keys(&["--jwt-secret", SECRET]).is_ok());
    assert!(keys(&["--jwt-secret", SECRET, "--jwt-secret-previous", "short"]).is_err());
}

#[test]
fn nobody_signs_in_where_nobody_is_named() {
    let rules = |arguments: &[&str]| config(arguments).session_rules();
    assert_eq!(rules(&["--dev"]).allowed, None);
    assert_eq!(rules(&[]).allowed, Some(BTreeSet::new()));
    let listed = rules(&[
        "--dev",
        "--allowed-emails",
        "a@b.c, ,d@e.f",
        "--admin-emails",
        "r@b.c",
    ]);
    assert_eq!(listed.allowed.unwrap().len(), 2);
    assert_eq!(listed.admins.len(), 1);
}

#[test]
fn secrets_are_not_shown() {
    let config = config(&[
        "--jwt-secret",
        SECRET,
        "--database-url",
        "postgres://me:hunter2@db/x",
    ]);
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("hunter2") && !shown.contains(SECRET),
        "{shown}"
    );
}

#[test]
fn nonsense_is_refused_by_name() {
    for arguments in [
        ["--port", "70000"],
        ["--jwt-expire", "0h"],
        ["--jwt-expire", "soon"],
        ["--pod-memory-limit", "1Mi"],
        ["--pod-cpu-limit", "0"],
        ["--port-range", "300-200"],
        ["--default-gpu-price", "cheap"],
        ["--orchestrator", "podman"],
        ["--log", "xml"],
        ["--oidc-issuer", "http://accounts.google.com"],
        ["--public-url", "pods.example.com"],
        ["--public-url", "ftp://pods.example.com"],
        ["--public-url", "https://pods.example.com/?a=b"],
        ["--public-url", "https://pods.example.com/#a"],
    ] {
        let all = [&["neuropod-server"][..], &arguments[..]].concat();
        let e = Config::try_parse_from(all).unwrap_err().to_string();
        assert!(e.contains(arguments[0]), "{e}");
    }
}

#[test]
fn nobody_is_paid_for_a_gpu() {
    let negative = ["neuropod-server", "--default-gpu-price=-0.01"];
    assert!(Config::try_parse_from(negative).is_err());
    let free = config(&["--default-gpu-price", "0"]);
    assert_eq!(free.default_gpu_price, Money::ZERO);
}

#[test]
fn a_gpu_that_is_written_wrongly_is_named() {
    let gpus = |listed: &str| config(&["--gpus", listed]).gpus();
    gpus("").unwrap();
    gpus("GPU-1:RTX 4050:6141").unwrap();
    let wrong = format!("{:?}", gpus("GPU-1:RTX 4050:6141,GPU-2").unwrap_err());
    assert!(
        wrong.contains("NEUROPOD_GPUS") && wrong.contains("GPU-2"),
        "{wrong}"
    );
}

/// Every variable is in the example, and nothing else is.
#[test]
fn the_example_names_every_variable() {
    use clap::CommandFactory;
    let example = include_str!("../../../../.env.example");
    let named: BTreeSet<&str> = example
        .lines()
        .filter_map(|line| line.trim_start_matches('#').trim().split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_'))
        .collect();
    let command = Config::command();
    let read: BTreeSet<&str> = command
        .get_arguments()
        .filter_map(|a| a.get_env()?.to_str())
        // Of the libraries that read them.
        .chain(["RUST_LOG", "OTEL_EXPORTER_OTLP_ENDPOINT"])
        .collect();
    assert_eq!(named, read);
}

#[test]
fn a_provider_is_there_with_a_client_id_only() {
    let clock = || std::sync::Arc::new(neuropod::time::SystemClock::new());
    for none in [&[][..], &["--google-client-id", " "]] {
        assert!(config(none).provider(clock()).is_none());
    }
    let empty = [
        "--google-client-id=id",
        "--google-client-secret=",
        "--oidc-issuer=",
        "--oidc-hosted-domain=",
        "--public-url=",
    ];
    let shown = format!("{:?}", config(&empty).provider(clock()).unwrap());
    assert!(shown.contains("https://accounts.google.com"), "{shown}");
    assert!(
        shown.contains("secret: None, hosted_domain: None"),
        "{shown}"
    );

    let secret = ["--google-client-id=id", "--google-client-secret=hunter2"];
    let config = config(&secret);
    let shown = format!("{config:?} {:?}", config.provider(clock()));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn browsers_find_the_server_and_the_frontend() {
    assert_eq!(config(&[]).public_url(), "http://localhost:3000");
    assert_eq!(
        config(&["--port", "8080"]).public_url(),
        "http://localhost:8080"
    );
    let behind = ["--public-url", "https://pods.example.com/cloud/"];
    assert_eq!(
        config(&behind).public_url(),
        "https://pods.example.com/cloud"
    );
    assert_eq!(config(&[]).frontend(), None);
    assert_eq!(config(&["--frontend-url", " "]).frontend(), None);
    assert_eq!(
        config(&["--dev"]).frontend().unwrap(),
        "http://localhost:5173"
    );
    let app = ["--dev", "--frontend-url", "https://app.example.com/"];
    assert_eq!(config(&app).frontend().unwrap(), "https://app.example.com");
}

#[test]
fn a_cluster_is_used_as_configured() {
    let cluster = |arguments: &[&str]| config(arguments).cluster("me".to_owned());
    let plain = cluster(&[]).unwrap();
    assert_eq!(plain.exposure, Exposure::NodePort);
    assert_eq!(
        (plain.storage_class, plain.namespace),
        (None, "default".to_owned())
    );
    assert_eq!(
        (plain.cpu_request_milli, plain.memory_request_bytes),
        (Some(1000), Some(6 << 30))
    );
    let named = cluster(&[
        "--domain-suffix",
        ".neuropod.online",
        "--storage-class",
        "fast",
        "--pull-secrets",
        "one, two,",
        "--tls-secret-name",
        "",
    ]);
    let named = named.unwrap();
    assert_eq!(named.pull_secrets, ["one", "two"]);
    assert_eq!(named.storage_class.as_deref(), Some("fast"));
    let expected = Exposure::Ingress {
        class: "neuropod-nginx".to_owned(),
        tls_secret: None,
        domain: "neuropod.online".to_owned(),
        from_namespace: None,
    };
    assert_eq!(named.exposure, expected);
    let no_domain = cluster(&["--exposure", "ingress"]).unwrap_err();
    assert!(no_domain.message().contains("DOMAIN_SUFFIX"), "{no_domain}");
}
