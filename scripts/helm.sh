#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# helm.sh    builds build/helm/helm, from Go modules, for the tests of the chart; Debian has none.
#
# Five minutes and 2 GB below build/helm the first time; nothing when it is there. GOPROXY says where the modules come from.
# Exit code 77: there is no Go that can build it, or its modules are not to be had.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

version=v3.19.0
PATH=$PATH:/usr/local/go/bin

helm=$PWD/build/helm/helm
[ ! -x "$helm" ] || [ scripts/helm.sh -nt "$helm" ] || exit 0

blocked() {
	echo "helm.sh: helm $version needs Go 1.24 or newer (Debian 12 has 1.19) and its modules: $1" >&2
	exit 77
}

here=$PWD/build/helm
as_owner mkdir -p "$here"
export GOPATH=$here/go GOCACHE=$here/cache GOTOOLCHAIN=local CGO_ENABLED=0 GOBIN=$here/bin
command -v go >/dev/null || blocked "there is no go on the PATH"
has=$(as_owner go env GOVERSION)
[[ $has =~ ^go1\.([0-9]+) ]] && [ "${BASH_REMATCH[1]}" -ge 24 ] || blocked "this is $has"
# The module cache is writable, so that make clean can remove it.
as_owner env GOFLAGS=-modcacherw nice go install -trimpath -ldflags "-s -w" helm.sh/helm/v3/cmd/helm@$version >&2 || blocked "it could not be built"
as_owner mv -f "$here/bin/helm" "$helm"
