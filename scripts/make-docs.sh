#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# make-docs.sh [--check]    writes docs/options.md and docs/metrics.md of what the programs say of themselves (TAFFRAIL_BIN,
#                           else build/bin); --check: says what is another than there, and changes nothing
set -euo pipefail
cd "$(dirname "$0")/.."
bin=${TAFFRAIL_BIN:-build/bin}

options() {
	local program command
	cat <<-'END'
		# Options and keys
		Made by `scripts/make-docs.sh` of the programs' own tables. An option sets the key that stands beside it: an option beats `--set KEY=VALUE`,
		which beats `--config FILE`. Sizes are `4096`, `64K`, `16M`, `1G`; times `250ms`, `5s`, `2m`, `1h`.
	END
	for program in taffrail-sensor taffrail-collector; do
		printf '\n## %s\n' "$program"
		"$bin/$program" --help=options
	done
	for command in watch status; do
		printf '\n## taffrail %s\n' "$command"
		"$bin/taffrail" "$command" --help=options
	done
	for command in rules p2p; do
		printf '\n## taffrail %s\n' "$command"
		"$bin/taffrail" "$command" --help | sed 's/^\(.\)/    \1/'
	done
}
metrics() {
	cat <<-'END'
		# Metrics
		Made by `scripts/make-docs.sh` of the programs' own tables: what `/metrics` shows where `--http ADDR` is given. Counters count from the program's start.
		A metric that has nothing to say is not there (without TLS no certificate ends); one with a label has a sample for each value.
	END
	printf '\n## taffrail-sensor\n'
	"$bin/taffrail-sensor" --help=metrics
	printf '\n## taffrail-collector\n'
	"$bin/taffrail-collector" --help=metrics
}

case ${1-} in
"")
	options >docs/options.md
	metrics >docs/metrics.md
	;;
--check)
	diff -u docs/options.md <(options) && diff -u docs/metrics.md <(metrics)
	;;
*)
	sed -n '3,/^set -/{/^set -/d; s/^# \{0,1\}//; p}' "$0" >&2
	exit 2
	;;
esac
