#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# commit.sh FILE    writes FILE, a C header that names the commit these sources are of, where it is another one than before:
#                   12 digits, with -dirty where a file of it was changed; `unknown` where nobody says. An archive that git
#                   has made says it in scripts/archive-commit; TAFFRAIL_COMMIT beats both.
set -euo pipefail
file=$(realpath -m "$1")
cd "$(dirname "$0")/.."

from_git() {
	[ "$(git -c safe.directory='*' rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ] || return 1
	local commit
	commit=$(git -c safe.directory='*' rev-parse --verify HEAD 2>/dev/null) || return 1
	echo "${commit:0:12}$([ -z "$(git -c safe.directory='*' --no-optional-locks status --porcelain -uno 2>/dev/null)" ] || echo -dirty)"
}
from_archive() {
	local commit
	commit=$(grep -oE '^[0-9a-f]{40}$' scripts/archive-commit) || return 1
	echo "${commit:0:12}"
}

commit=${TAFFRAIL_COMMIT:-$(from_git || from_archive || echo unknown)}
case $commit in *[!0-9a-z-]* | "") echo "commit.sh: TAFFRAIL_COMMIT=$commit: hexadecimal digits, and -dirty" >&2 && exit 2 ;; esac
line="#define TAFFRAIL_COMMIT \"$commit\""
if [ "$(cat "$file" 2>/dev/null)" != "$line" ]; then
	mkdir -p "$(dirname "$file")"
	echo "$line" >"$file.new"
	mv "$file.new" "$file"
fi
