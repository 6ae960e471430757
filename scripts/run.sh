#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh: the demonstration behind `sudo make run`. Builds, starts the collector, the sensor and `taffrail watch`; where no
# container runtime answers (or with DEMO=1), also a private containerd with one pod that does ordinary and suspicious things.
# Ctrl-C, or RUN_SECONDS=N, ends all that it started; what was recorded stays in build/run.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/common.sh

[ "$(id -u)" = 0 ] || die "the sensor loads BPF programs, which needs root: sudo make run"
[[ ${RUN_SECONDS:-0} =~ ^[0-9]+$ ]] || die "RUN_SECONDS is a number of seconds, not '$RUN_SECONDS'"
export PATH=$PATH:/usr/sbin:/sbin PYTHONDONTWRITEBYTECODE=1
scripts/deps.sh build run
as_owner make -s -j"$(nproc)" all </dev/null

here=build/run lab=$here/lab address=unix:build/run/collector.sock
as_owner mkdir -p $here
[ ! -S $here/collector.sock ] || rm -f $here/collector.sock

pids=() lab_up=
stop() { # PID: asks, waits 10 s, insists
	local tries=100
	kill -TERM "$1" 2>/dev/null || return 0
	while kill -0 "$1" 2>/dev/null && [ $((tries -= 1)) -gt 0 ]; do sleep 0.1; done
	kill -KILL "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}
cleanup() {
	trap - EXIT
	trap '' INT TERM # from here on to the end
	local index
	for ((index = ${#pids[@]} - 1; index >= 0; index--)); do stop "${pids[index]}"; done
	[ -z "$lab_up" ] || scripts/lab.sh down $lab || true
	hand_back build
	if [ -s $here/events.ndjson ]; then
		printf '\n%s events are stored in %s: %s as received, events.ndjson as ECS JSON lines.\n' "$(wc -l <$here/events.ndjson)" "$PWD/$here" data/
	fi
}
trap cleanup EXIT
trap 'exit 0' INT TERM

# start NAME COMMAND...: in the background, away from the terminal's Ctrl-C, its log in build/run/NAME.log.
start() {
	local name=$1
	shift
	setsid "$@" </dev/null >$here/"$name".log 2>&1 &
	pids+=($!)
}
ready() { # NAME PATTERN: waits for a line of its log
	local tries=300
	until grep -q "$2" $here/"$1".log; do
		if ! kill -0 "${pids[-1]}" 2>/dev/null || [ $((tries -= 1)) = 0 ]; then
			cat $here/"$1".log >&2
			die "$1 did not get ready"
		fi
		sleep 0.1
	done
}

sockets=()
for socket in /run/containerd/containerd.sock /run/crio/crio.sock /run/k3s/containerd/containerd.sock /var/run/cri-dockerd.sock; do
	[ ! -S $socket ] || ! scripts/demo.py answers $socket 2>/dev/null || sockets+=("$socket")
done
if [ ${#sockets[@]} = 0 ] || [ -n "${DEMO:-}" ]; then
	[ ${#sockets[@]} -gt 0 ] || echo "No container runtime answers on the usual sockets: starting a private one in $lab."
	lab_up=1
	demo=$(scripts/lab.sh up $lab)
	sockets+=("$demo")
fi

start collector build/bin/taffrail-collector --listen $address --data $here/data --output ecs-json:$here/events.ndjson
ready collector '^taffrail-collector: ready'
cri=()
for socket in "${sockets[@]}"; do cri+=(--cri "$socket"); done
start sensor build/bin/taffrail-sensor --collector $address "${cri[@]}"
ready sensor '^taffrail-sensor: ready'
echo "Watching the containers of: ${sockets[*]}"
echo "Stored in $PWD/$here: data/ as received, events.ndjson as ECS JSON lines. Ctrl-C ends everything."

setsid build/bin/taffrail watch --collector $address </dev/null &
watch=$!
pids+=("$watch")
[ -z "$lab_up" ] || start demo scripts/demo.py run "$demo"
if [ "${RUN_SECONDS:-0}" -gt 0 ]; then
	sleep "$RUN_SECONDS" &
	wait -n $watch $! || true
else
	wait $watch || true
fi
