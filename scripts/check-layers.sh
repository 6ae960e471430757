#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check-layers.sh: the house's rules that no compiler knows, one TAP line each (tests/README.md).
#   Floors, arrows downwards only:  base < event, grpc < http, detect, collector < sensor, cli
#   The sensor's stages never include one another: pipeline.c and its helpers alone see them all.
#   A file has at most 600 lines, a function 80; scripts/size-exceptions names those that have more, each with its reason.
set -euo pipefail
cd "$(dirname "$0")/.."

number=0 failed=0
report() { # NAME PROBLEMS: one test; every line of PROBLEMS is something that breaks the rule
	number=$((number + 1))
	if [ -z "$2" ]; then
		echo "ok $number - $1"
	else
		echo "not ok $number - $1"
		while IFS= read -r line; do echo "  # $line"; done <<<"$2"
		failed=$((failed + 1))
	fi
}

# Every #include "…" of ours, as "FILE INCLUDED".
includes=$(grep -rn --include='*.c' --include='*.h' '^[[:space:]]*#[[:space:]]*include "' user |
	sed -E 's/^([^:]+):[0-9]+:[^"]*"([^"]+)".*/\1 \2/')

# --- floors ----------------------------------------------------------------------------------------------------------
declare -A below=(
	[base]="" [event]="base" [grpc]="base" [http]="base grpc" [detect]="base event" [collector]="base event grpc http detect"
	[sensor]="base event grpc http detect" [cli]="base event grpc detect collector"
)
floors() {
	local file included room target
	while read -r file included; do
		room=${file#user/} room=${room%%/*} target=${included%%/*}
		[ -n "${below[$room]+known}" ] || echo "$file: user/$room is on no floor"
		[ -n "${below[$target]+known}" ] || continue
		[ "$room" = "$target" ] && continue
		case " ${below[$room]-} " in *" $target "*) ;; *) echo "$file includes $included: $target is not below $room" ;; esac
	done <<<"$includes"
}
report "floors: arrows point downwards" "$(floors)"

# --- the kernel's side -----------------------------------------------------------------------------------------------
kernel_side() {
	local file included
	while read -r file included; do
		case "$file $included" in
		*" bpf/kernel_event.h") case $file in user/sensor/*) ;; *) echo "$file: kernel records are the sensor's alone" ;; esac ;;
		"user/sensor/loader_object."?" bpf/taffrail"*.skel.h) ;;
		*" bpf/"*) echo "$file includes $included: of bpf/ user space sees kernel_event.h, and loader_object the skeletons" ;;
		esac
	done <<<"$includes"
	grep -rlE '#[[:space:]]*include <(bpf/|libbpf|linux/bpf\.h)' user | grep -vxE 'user/sensor/(loader_(programs|object|flow|list|pin)|attach)\.c' |
		sed 's/$/: the loader alone holds the rights over BPF/' || true
}
report "bpf: kernel_event.h is the only contract, the loader's process the only holder" "$(kernel_side)"

# --- the sensor's stages ---------------------------------------------------------------------------------------------
# What a file of the sensor may include of the sensor, beside its own header and record.h, the words that the stages
# share. main opens the pipeline; the others are a stage's own servants.
declare -A serves=(
	[loader]="confine loader_inside loader_flow loader_list loader_object loader_serve" [loader_inside]="loader loader_call loader_ring" [loader_former]="loader loader_inside" [loader_call]="loader"
	[loader_serve]="canary confine loader loader_call loader_pin loader_programs" [loader_programs]="loader loader_object attach hierarchy loader_flow loader_list loader_pin" [confine]="confine_calls" [canary_nest]="canary_inside"
	[loader_list]="loader" [loader_pin]="loader loader_ring" [loader_ring]="loader" [loader_flow]="loader loader_object" [attach]="loader"
	[detect]="ruleset suppress" [ruleset]="pack" [pipeline_detect]="*" [main]="confine pipeline settings guard check check_config" [check_config]="settings ruleset" [check]="settings confine loader coverage canary cri metadata cgroup ruleset check_calls" [check_calls]="policy_rules detect" [coverage]="canary loader" [canary]="canary_inside" [canary_inside]="canary" [canary_rows]="canary_inside" [canary_deeds]="canary_inside" [canary_network]="canary_inside" [canary_socket]="canary_inside" [canary_uring]="canary_inside" [pipeline_books]="*" [pipeline_former]="*" [pipeline_relief]="*" [pipeline_health]="*" [pipeline]="*" [pipeline_open]="*" [pipeline_inside]="*" [pipeline_replay]="*" [recording_format]="recording" [recording_read]="recording recording_format" [recording_write]="recording recording_format" [census]="loader proc" [process]="image entry lineage" [image]="process" [encode]="stream" [stream]="spool stream_inside" [stream_inside]="stream backlog ledger refusal window" [refusal]="backlog evict" [stream_call]="stream_inside" [backlog]="spool evict former" [former]="ledger" [ledger]="stores" [spool]="evict spool_inside" [spool_inside]="spool spool_format" [spool_format]="evict" [spool_read]="spool_inside" [spool_room]="spool_inside" [spool_load]="spool_inside" [spool_aside]="spool_inside" [container]="container_meta" [metadata]="lookup cri container" [lookup]="lookup_inside cri names container" [lookup_inside]="lookup" [lookup_list]="lookup_inside names" [lookup_disk]="lookup_inside bundle names state users" [lookup_exit]="lookup_inside" [names]="cri bundle bundle_spec state" [names_workload]="names" [bundle]="bundle_spec" [policy]="policy_rules" [settings]="budget metrics policy_rules ruleset unsampled spool" [cri_decode]="cri bundle_spec" [flows]="flows_inside" [flows_message]="flows_inside" [flows_inside]="flows resolved" [pipeline_outbound]="*"
	[pipeline_handover]="*" [lineage]="image"
	[pipeline_metrics]="*"
	[pipeline_part]="*"
	[pipeline_reload]="*" [reload]="ruleset settings"
)
stages() {
	local file included name target allowed
	while read -r file included; do
		case $file in user/sensor/*) ;; *) continue ;; esac
		case $included in sensor/*) ;; *) continue ;; esac
		name=$(basename "$file") name=${name%.*} target=${included#sensor/} target=${target%.h}
		allowed=${serves[$name]-}
		[ "$allowed" = "*" ] && continue
		case " $name record $allowed " in *" $target "*) ;; *) echo "$file includes $included" ;; esac
	done <<<"$includes"
}
report "sensor: no stage includes another, only the pipeline sees them all" "$(stages)"

# --- sizes -----------------------------------------------------------------------------------------------------------
sources=$(git ls-files -co --exclude-standard -- '*.c' '*.h' | while read -r file; do [ ! -e "$file" ] || echo "$file"; done)

# "FILE LINES" and "FILE:FUNCTION LINES" of whatever is over; a function starts at a { in the first column.
over() {
	# shellcheck disable=SC2086 # a list of names without blanks
	awk -v file_limit=600 -v function_limit=80 '
		function flush() { if (name != "" && lines > file_limit) print name, lines }
		FNR == 1 { flush(); name = FILENAME; heading = "" }
		{ lines = FNR }
		/^[A-Za-z_].*\(/ { heading = $0 }
		/^\{$/ { start = FNR }
		/^\}/ { if (start && FNR - start + 1 > function_limit) {
				sub(/\(.*/, "", heading); sub(/.*[ *]/, "", heading)
				print FILENAME ":" heading, FNR - start + 1
			}
			start = 0 }
		END { flush() }' $sources
}
sizes() {
	local what lines limit
	over | while read -r what lines; do
		limit=$(awk -v what="$what" '$1 == what { print $2 }' scripts/size-exceptions)
		[ "$lines" -le "${limit:-0}" ] || echo "$what has $lines lines${limit:+, its exception allows $limit}"
	done
}
stale() {
	local what limit reason
	grep -v '^#' scripts/size-exceptions | while read -r what limit reason; do
		[ -n "$reason" ] || echo "$what: an exception without a reason"
		over | grep -q "^$what " || echo "$what: not over the limit any more"
	done
}
report "sizes: files of 600 lines, functions of 80" "$(sizes)"
report "sizes: every exception has a reason and is needed" "$(stale)"

# --- words -----------------------------------------------------------------------------------------------------------
unlicensed() {
	git ls-files -co --exclude-standard -- '*.c' '*.h' '*.proto' '*.sh' '*.py' '*.js' '*.mjs' '*.go' Makefile | while read -r file; do
		[ ! -e "$file" ] || head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
	done
}
report "licence: every source says Apache-2.0 in its first lines" "$(unlicensed)"
report "names: no typedef for structs" "$(grep -nE "^[[:space:]]*typedef[[:space:]]+(struct|union|enum)\b" user/*/*.[ch] tests/*/*.[ch] || true)"

# The README's room map: what it names exists, and what exists stands in it.
map() {
	local path room file
	sed -n '/^## Room map/,/^## /p' README.md | grep -oE '`[^` ]+`' | tr -d '`' | while read -r path; do
		compgen -G "$path" >/dev/null || echo "README.md: $path is not there"
	done
	for file in bpf/*.c bpf/*.h user/*/*.c user/*/*.h user/*/*/*.c; do
		[ -e "$file" ] || continue
		room=$(dirname "$file")
		sed -n '/^## Room map/,/^## /p' README.md | awk -v room="\`$room/\`" -v name="\`$file\`" -v stem="\`${file%.*}\`" '
			index($0, room) || index($0, name) || index($0, stem) { found = 1 } END { exit !found }' ||
			echo "$file: neither it nor its room is in README.md"
	done
}
report "README.md: the room map is the house's" "$(map)"

gaps() {
	diff <(sed -n '/^## Kernels/,/^## /p' README.md | grep '^|') <(scripts/test-kernels.sh --gaps) | sed -n 's/^[<>]/&/p' || true
}
report "README.md: the known gaps are those of tests/kernel/gaps (scripts/test-kernels.sh --gaps prints the table)" "$(gaps)"

# Only where the programs are built: the suite runs without them, too.
docs="docs: options.md and metrics.md are what the programs say"
if [ -x "${TAFFRAIL_BIN:-build/bin}/taffrail" ]; then
	report "$docs" "$(scripts/make-docs.sh --check || echo "run scripts/make-docs.sh")"
else
	number=$((number + 1))
	echo "ok $number - $docs # SKIP the programs are not built"
fi

echo "1..$number"
[ $failed = 0 ]
