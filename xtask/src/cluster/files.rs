//! What the programs of a cluster are told: their settings, and who they are.

use crate::shell;
use anyhow::Result;
use std::path::Path;
use std::process::Command;

/// The two nodes and the last digit of their addresses.
pub(super) const NODES: [(&str, u8); 2] = [("n1", 1), ("n2", 2)];

/// Who there is beside the API server: the file, the user, the group.
const PEOPLE: [(&str, &str, &str); 6] = [
    ("admin", "admin", "system:masters"),
    ("controller-manager", "system:kube-controller-manager", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("proxy", "system:kube-proxy", ""),
    ("n1", "system:node:n1", "system:nodes"),
    ("n2", "system:node:n2", "system:nodes"),
];

/// Where the API server listens.
const SERVER: &str = "https://10.250.0.1:6443";

/// Writes all of them into `home`. `cgroup` is what the nodes' control groups are in.
pub(super) fn write(home: &Path, cgroup: &str) -> Result<()> {
    certificates(home)?;
    let (_, group) = shell::identity(None)?;
    for (node, number) in NODES {
        let place = home.join(node);
        std::fs::create_dir_all(place.join("cni"))?;
        let here = place.display().to_string();
        std::fs::write(place.join("containerd.toml"), containerd(&here, group))?;
        std::fs::write(place.join("cni/pods.conflist"), network(number))?;
        let kubelet = kubelet(&here, number, &home.display().to_string(), cgroup);
        std::fs::write(place.join("kubelet.yaml"), kubelet)?;
    }
    Ok(())
}

fn certificates(home: &Path) -> Result<()> {
    let openssl = |arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args(arguments).current_dir(home);
        shell::output(&mut openssl)
    };
    let certificate = |name: &str, subject: &str, more: &[&str]| {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.crt"));
        let mut arguments =
            "req -x509 -days 365 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1"
                .split(' ')
                .collect::<Vec<_>>();
        arguments.extend(["-keyout", &key, "-out", &certificate, "-subj", subject]);
        arguments.extend(more);
        openssl(&arguments)
    };
    certificate("ca", "/CN=neuropod-tests", &[])?;
    let signed = [
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
        "-addext",
    ];
    let names = "subjectAltName=IP:10.250.0.1,IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc";
    certificate(
        "server",
        "/CN=kube-apiserver",
        &[&signed[..], &[names]].concat(),
    )?;
    let client = "extendedKeyUsage=clientAuth";
    for (name, user, group) in PEOPLE {
        let subject = match group {
            "" => format!("/CN={user}"),
            group => format!("/O={group}/CN={user}"),
        };
        certificate(name, &subject, &[&signed[..], &[client]].concat())?;
        std::fs::write(
            home.join(format!("{name}.kubeconfig")),
            kubeconfig(home, name),
        )?;
    }
    openssl(&["genrsa", "-out", "accounts.key", "2048"])?;
    Ok(())
}

fn kubeconfig(home: &Path, name: &str) -> String {
    let place = home.display();
    let user = format!("client-certificate: {place}/{name}.crt, client-key: {place}/{name}.key");
    with_user(home, &user)
}

/// A kubeconfig for whoever has this token.
pub(super) fn with_token(home: &Path, token: &str) -> String {
    with_user(home, &format!("token: {token}"))
}

fn with_user(home: &Path, user: &str) -> String {
    let home = home.display();
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: tests\n\
         clusters: [{{name: tests, cluster: {{server: '{SERVER}', certificate-authority: {home}/ca.crt}}}}]\n\
         users: [{{name: tests, user: {{{user}}}}}]\n\
         contexts: [{{name: tests, context: {{cluster: tests, user: tests}}}}]\n"
    )
}

fn containerd(place: &str, group: u32) -> String {
    format!(
        "version = 2\n\
         root = \"{place}/containerd\"\n\
         state = \"{place}/run\"\n\
         [grpc]\n  address = \"{place}/containerd.sock\"\n  gid = {group}\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\n  path = \"{place}/opt\"\n\
         [plugins.\"io.containerd.grpc.v1.cri\"]\n\
         \x20 sandbox_image = \"{pause}\"\n\
         \x20 disable_apparmor = true\n\
         # Root of a container has not got what it takes to change these scores.\n\
         \x20 restrict_oom_score_adj = true\n\
         [plugins.\"io.containerd.grpc.v1.cri\".cni]\n\
         \x20 bin_dir = \"/usr/lib/cni\"\n  conf_dir = \"{place}/cni\"\n",
        pause = super::image::PAUSE,
    )
}

fn network(node: u8) -> String {
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {{"type": "bridge", "bridge": "pods", "isGateway": true, "ipam": {{"type": "host-local",
    "ranges": [[{{"subnet": "10.244.{node}.0/24"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}},
  {{"type": "portmap", "capabilities": {{"portMappings": true}}}}]}}
"#
    )
}

fn kubelet(place: &str, node: u8, home: &str, cgroup: &str) -> String {
    format!(
        "apiVersion: kubelet.config.k8s.io/v1beta1\n\
         kind: KubeletConfiguration\n\
         address: 10.250.0.{node}\n\
         authentication: {{anonymous: {{enabled: false}}, webhook: {{enabled: true}}, x509: {{clientCAFile: {home}/ca.crt}}}}\n\
         authorization: {{mode: Webhook}}\n\
         cgroupDriver: cgroupfs\n\
         cgroupRoot: {cgroup}/n{node}\n\
         containerRuntimeEndpoint: unix://{place}/containerd.sock\n\
         podLogsDir: {place}/logs\n\
         resolvConf: ''\n\
         failSwapOn: false\n\
         healthzPort: 0\n\
         maxPods: 250\n\
         serializeImagePulls: false\n\
         evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}\n\
         imageGCHighThresholdPercent: 100\n\
         imageGCLowThresholdPercent: 99\n"
    )
}
