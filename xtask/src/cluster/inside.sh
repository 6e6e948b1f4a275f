#!/bin/sh
# A cluster of two nodes, in namespaces that end with this process: network, mounts, processes. What Kubernetes keeps at
# fixed places is kept in the cluster's own folder, so that clusters of several checkouts don't meet.
set -eu
home=$1
bin=$2

mount --make-rprivate /
for place in /var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /run/netns /run/containerd /tmp/hostpath_pv; do
    mkdir -p "$place" "$home/fixed$place"
    mount --bind "$home/fixed$place" "$place"
done

# The second node has a network of its own; neither leads out. A route to nowhere is what kubelets find their address by.
ip link set lo up
ip netns add n2
ip link add n2 type veth peer name eth0 netns n2
ip address add 10.250.0.1/24 dev n2
ip link set n2 up
ip link add nowhere type veth peer name nowhere-end
ip address add 192.0.2.2/30 dev nowhere
ip link set nowhere up
ip link set nowhere-end up
ip route add default via 192.0.2.1
ip -n n2 link set lo up
ip -n n2 address add 10.250.0.2/24 dev eth0
ip -n n2 link set eth0 up
ip -n n2 route add default via 10.250.0.1
ip route add 10.244.2.0/24 via 10.250.0.2
second="nsenter --net=/run/netns/n2"
echo 1 >/proc/sys/net/ipv4/ip_forward
$second sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

# Starts a program, and again when it was killed.
keep() {
    log=$1
    shift
    while :; do
        "$@" >>"$home/$log.log" 2>&1 </dev/null || true
        sleep 0.2
    done &
}

keep etcd etcd --data-dir "$home/etcd" \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380 --log-level error
keep containerd-n1 containerd --config "$home/n1/containerd.toml"
keep containerd-n2 $second containerd --config "$home/n2/containerd.toml"
keep registry-n1 "$home/busybox" httpd -f -p 127.0.0.1:5000 -h "$home/registry" -c "$home/registry.conf"
keep registry-n2 $second "$home/busybox" httpd -f -p 127.0.0.1:5000 -h "$home/registry" -c "$home/registry.conf"
keep kube-apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
    --secure-port 6443 --bind-address 0.0.0.0 --advertise-address 10.250.0.1 --endpoint-reconciler-type none \
    --service-cluster-ip-range 10.96.0.0/16 --allow-privileged \
    --client-ca-file "$home/ca.crt" --requestheader-client-ca-file "$home/ca.crt" \
    --tls-cert-file "$home/server.crt" --tls-private-key-file "$home/server.key" \
    --kubelet-client-certificate "$home/admin.crt" --kubelet-client-key "$home/admin.key" \
    --kubelet-preferred-address-types InternalIP \
    --service-account-issuer https://kubernetes.default.svc \
    --service-account-key-file "$home/accounts.key" --service-account-signing-key-file "$home/accounts.key" \
    --authorization-mode Node,RBAC --enable-admission-plugins NodeRestriction --cert-dir "$home"

until "$bin/kubectl" --kubeconfig "$home/admin.kubeconfig" get --raw /readyz >/dev/null 2>&1; do
    sleep 0.1
done
for program in controller-manager scheduler; do
    set -- --kubeconfig "$home/$program.kubeconfig" --authentication-kubeconfig "$home/$program.kubeconfig" \
        --authorization-kubeconfig "$home/$program.kubeconfig" --leader-elect=false \
        --bind-address 127.0.0.1 --cert-dir "$home"
    if [ "$program" = controller-manager ]; then
        set -- "$@" --enable-hostpath-provisioner --use-service-account-credentials \
            --service-account-private-key-file "$home/accounts.key" --root-ca-file "$home/ca.crt"
    fi
    keep "kube-$program" "$bin/kube-$program" "$@"
done
for node in n1 n2; do
    in=
    [ "$node" = n1 ] || in=$second
    address=10.250.0.${node#n}
    keep "kubelet-$node" $in "$bin/kubelet" --config "$home/$node/kubelet.yaml" --kubeconfig "$home/$node.kubeconfig" \
        --root-dir "$home/$node/kubelet" --cert-dir "$home/$node" --hostname-override "$node" --node-ip "$address"
    keep "kube-proxy-$node" $in "$bin/kube-proxy" --kubeconfig "$home/proxy.kubeconfig" --hostname-override "$node" \
        --proxy-mode iptables --cluster-cidr 10.244.0.0/16 \
        --conntrack-max-per-core 0 --conntrack-tcp-timeout-established 0 --conntrack-tcp-timeout-close-wait 0 \
        --healthz-bind-address "$address:10256" --metrics-bind-address "$address:10249"
done
wait
