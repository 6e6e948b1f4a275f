#!/bin/sh
# Stands in for NVIDIA's hook where no GPU is: dockerd takes requests for GPUs if it finds one when it starts, and runc
# calls it before each container that was given some. What it is told and what the container is to be are kept for the
# tests, by the container's id. A UUID of the form GPU-00000000-… is nobody's, and refused as NVIDIA's hook does.
set -eu
PATH=/usr/bin:/bin
umask 022
records=${0%/*}/gpu-records
state=$(cat)
field() { printf '%s' "$state" | tr -d '\n' | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
config=$(field bundle)/config.json
unknown=$(grep -o 'NVIDIA_VISIBLE_DEVICES=[^"]*' "$config" | grep -o 'GPU-00000000-[^,]*' || true)
if [ -n "$unknown" ]; then
    echo "nvidia-container-cli: device error: $unknown: unknown device" >&2
    exit 1
fi
record=$records/$(field id)
{ printf '%s\n' "$state"; cat "$config"; } >"$record.new"
mv "$record.new" "$record"
