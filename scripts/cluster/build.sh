#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# build.sh    builds build/cluster/kube, the parts of a Kubernetes in one static program, from Go modules.
#
# Ten minutes on two idle cores and 4 GB below build/cluster the first time; nothing when it is there. GOPROXY says where the modules come
# from; go.mod and go.sum say which ones. Kubernetes before 1.35, for that one refuses cgroup v1.
# Exit code 77: there is no Go that can build it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. scripts/common.sh

version=v1.34.4 # as in go.mod
PATH=$PATH:/usr/local/go/bin

kube=$PWD/build/cluster/kube
[ ! -x "$kube" ] || [ -n "$(find scripts/cluster/{*.go,go.mod,go.sum,build.sh} -newer "$kube")" ] || exit 0

blocked() {
	echo "build.sh: Kubernetes $version needs Go 1.24 or newer (Debian 12 has 1.19) and $1" >&2
	exit 77
}

here=$PWD/build/cluster
as_owner mkdir -p "$here"
export GOPATH=$here/go GOCACHE=$here/cache GOTOOLCHAIN=local CGO_ENABLED=0
command -v go >/dev/null || blocked "there is no go on the PATH"
has=$(as_owner go env GOVERSION)
[[ $has =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 24 ] || blocked "this is $has"

link="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
	link+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=34 -X $package.gitTreeState=clean"
done
# The module cache is writable, so that make clean can remove it.
cd scripts/cluster
as_owner nice go build -mod=readonly -modcacherw -buildvcs=false -trimpath -gcflags=all=-dwarf=false -ldflags "$link" -o "$kube" .
