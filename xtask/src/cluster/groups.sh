#!/bin/sh
# Makes control groups for two nodes, in which their kubelets keep their pods: `groups.sh /NAME`.
set -eu
name=$1
root=/sys/fs/cgroup
if [ -e $root/cgroup.controllers ]; then
    for controller in $(cat $root/cgroup.controllers); do
        for place in "" "$name" "$name/n1" "$name/n2"; do
            mkdir -p "$root$place"
            echo "+$controller" >"$root$place/cgroup.subtree_control" 2>/dev/null || true
        done
    done
    exit
fi
# Of the first version: a tree for each controller, and sets of CPUs that nobody fills in.
for tree in $root/*/cgroup.procs; do
    tree=${tree%/*}
    for place in "$name" "$name/n1" "$name/n2"; do
        mkdir -p "$tree$place"
        for set in cpuset.cpus cpuset.mems; do
            [ ! -e "$tree/$set" ] || cat "$tree/$set" >"$tree$place/$set"
        done
    done
done
