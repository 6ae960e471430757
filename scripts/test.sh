#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# test.sh [SUITE]...    builds, runs the suites and closes with one line: N passed, N failed, N skipped
#
#   unit       Criterion, no root                       kernel     Criterion: the BPF programs in cgroups of their own
#   container  pytest: real containers over the CRI     interop    Node's grpc-js and Python's grpcio as peers
#   contract   pytest: options, exit codes, messages    fuzz       every fuzz target for FUZZ_SECONDS (5) from its seeds
#   deploy     pytest: what deploy/ holds, no root
#   house      the rules that no compiler knows         guests     the kernel tests on the oldest and the newest kernel,
#                                                       emulated, less the slowest
#   chaos      pytest: sensor and collectors are killed, their network and disks fail; for TAFFRAIL_CHAOS_SECONDS (20) all at random
#   runtimes   the container suite on containerd 1.7 and 2, fetched; only when asked for
#   cluster    pytest: a real Kubernetes, built here, and Taffrail in it; only when it is asked for, for it takes minutes
#   p2p        pytest: real BitTorrent clients, and what only looks like them, in networks of their own; only when asked for
#
# Where all run, what needs no container here (house, unit, fuzz, deploy, guests) runs on what the others leave of the processors,
# for they wait more than they compute; what it printed follows theirs.
#
# SAN=1: the programs and tests with ASan and UBSan, from build/san; by default unit and container then.
# One test of a suite by name: see tests/README.md.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/common.sh

suites=${*:-}
beside=""
if [ -n "${SAN:-}" ]; then
	suites=${suites:-unit container}
	build=build/san
else
	if [ -z "$suites" ]; then
		suites="contract kernel container interop chaos"
		beside="house unit fuzz deploy guests"
	fi
	build=build
fi
for suite in $suites; do
	case $suite in
	unit | fuzz | deploy | house | guests) ;;
	kernel | container | interop | contract | chaos | runtimes | cluster | p2p) [ "$(id -u)" = 0 ] || die "the suite $suite needs root: sudo make test" ;;
	*) die "no suite is called '$suite'" ;;
	esac
done

deps=(build test images)
case " $suites " in *" cluster "*) deps+=(cluster images) ;; esac
case " $suites " in *" p2p "*) deps+=(p2p) ;; esac
scripts/deps.sh "${deps[@]}" || exit 1
logs=$build/test
as_owner mkdir -p "$logs"
other=0 # the process group of the suites that run beside these
trap '[ "$other" = 0 ] || kill -- "-$other" 2>/dev/null; hand_back build tests' EXIT
trap 'exit 130' INT TERM

# Where every suite finds the programs, and what the sanitizers do: the first finding ends the program, loudly.
export TAFFRAIL_BUILD=$PWD/$build TAFFRAIL_BIN=$PWD/$build/bin
export PYTHONDONTWRITEBYTECODE=1 PATH=$PATH:/usr/sbin:/sbin
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=1:${ASAN_OPTIONS:-} UBSAN_OPTIONS=print_stacktrace=1:${UBSAN_OPTIONS:-}
export LSAN_OPTIONS=suppressions=$PWD/scripts/lsan-suppressions:print_suppressions=0
jobs=${JOBS:-$(nproc)}

passed=0 failed=0 skipped=0 failures=()
# count SUITE STATUS KIND REPORT: adds up what a runner reported; a runner that died, or ran nothing, has failed.
count() {
	local suite=$1 status=$2 report p=0 f=0 s=0 seconds=$((SECONDS - started)) wrong=""
	if report=$(scripts/count-tests.py "$3" "$4" 2>&1); then
		read -r p f s <<<"${report%%$'\n'*}"
		tail -n +2 <<<"$report"
	else
		wrong=$report
	fi
	[ "$status" = 0 ] || [ "$f" != 0 ] || wrong="the runner ended with status $status"
	[ $((p + f)) != 0 ] || wrong=${wrong:-not one test ran}
	if [ -n "$wrong" ]; then
		f=$((f + 1)) report+=$'\n'"  failed: $suite: $wrong"
		echo "  failed: $suite: $wrong"
	fi
	echo "-- $suite: $p passed, $f failed, $s skipped, in $seconds s"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	once_more < <(tail -n +2 <<<"$report" | grep -v '^  skipped:')
}

# Keeps the lines of its input, to be said at the end.
once_more() {
	mapfile -t -O "${#failures[@]}" failures
}

# limited SECONDS COMMAND...: stops with Ctrl-C's signal, so that tests tear down what they set up.
limited() {
	local seconds=$1
	shift
	timeout --foreground -s INT -k 60 "$seconds" "$@" </dev/null
}

# built WHAT...: makes it as the checkout's owner; one at a time, for what runs beside this may want the same.
built() {
	as_owner flock "$logs/make.lock" make -s -j"$jobs" ${SAN:+SAN=$SAN} "$@" </dev/null
}

criterion() { # SUITE SECONDS OPTIONS...
	local suite=$1 seconds=$2
	shift 2
	rm -f "$logs/$suite.json"
	built "$build/bin/test-$suite" &&
		limited "$seconds" "$build/bin/test-$suite" --json="$logs/$suite.json" --verbose --color=never "$@" 2>&1 |
		tee "$logs/$suite.log"
	count "$suite" $? criterion "$logs/$suite.json"
}

pytest() { # SUITE SECONDS FOLDER OPTIONS...
	local suite=$1 seconds=$2 folder=$3
	shift 3
	rm -f "$logs/$suite.xml"
	limited "$seconds" /usr/bin/python3 -m pytest -p no:cacheprovider -v --color=no --junitxml="$logs/$suite.xml" "$@" "tests/$folder" 2>&1 |
		tee "$logs/$suite.log"
	count "$suite" $? junit "$logs/$suite.xml"
}

# Whatever a containerd says or does otherwise than this release's.
runtimes() {
	local version
	for version in 1.7 2; do
		started=$SECONDS
		TAFFRAIL_RUNTIME=$version pytest "runtime-$version" 1800 container
	done
}

chaos() {
	built build/bin/chaos-work build/bin/chaos-disk || echo "the workload or the disk could not be built"
	pytest chaos $((600 + 3 * ${TAFFRAIL_CHAOS_SECONDS:-0})) chaos
}

# Most wait more than they compute: two at a time, but for those that measure the machine.
contract() {
	built "$build/bin/bench-sensors" # or the tests that need it fail
	pytest contract 1800 contract -m "not alone" -n 2 --dist loadfile
	started=$SECONDS
	pytest contract-alone 600 contract -m alone
}

interop() {
	if [ tests/interop/package-lock.json -nt tests/interop/node_modules ]; then
		as_owner npm ci --prefix tests/interop --no-audit --no-fund --loglevel=error </dev/null || echo "npm could not install Node's gRPC"
	fi
	rm -f "$logs/interop.tap"
	(cd tests/interop && limited 300 node --test --test-reporter=tap .) 2>&1 | tee "$logs/interop.tap"
	count interop $? tap "$logs/interop.tap"
}

# Each target is one test: no crash, leak, hang or sanitizer's finding from its seeds on.
fuzz_target() { # NUMBER TARGET
	local seeds=("build/fuzz/corpus/$2") said
	as_owner mkdir -p "build/fuzz/corpus/$2"
	[ ! -d "tests/fuzz/seeds/${2#fuzz_}" ] || seeds+=("tests/fuzz/seeds/${2#fuzz_}")
	if limited 120 "build/fuzz/bin/$2" -max_total_time="${FUZZ_SECONDS:-5}" -timeout=10 -rss_limit_mb=2048 \
		-artifact_prefix="build/fuzz/$2-" "${seeds[@]}" >"$logs/$2.log" 2>&1; then
		said="ok $1 - $2, $(grep -o '^Done [0-9]* runs' "$logs/$2.log")"
	else
		said="not ok $1 - $2, see $logs/$2.log"$'\n'$(tail -n 30 "$logs/$2.log" | sed 's/^/  # /')
	fi
	echo "$said" # at once: another one speaks too
}

fuzz_targets() {
	local source number=0 status=0
	built fuzzers || status=1
	for source in tests/fuzz/fuzz_*.c; do
		[ "$(jobs -rp | wc -l)" -lt "$jobs" ] || wait -n
		number=$((number + 1))
		fuzz_target "$number" "$(basename "$source" .c)" &
	done
	wait
	echo "1..$number"
	return $status
}

fuzz() {
	fuzz_targets 2>&1 | tee "$logs/fuzz.tap"
	count fuzz $? tap "$logs/fuzz.tap"
}

house() {
	limited 120 scripts/check-layers.sh 2>&1 | tee "$logs/house.tap"
	count house $? tap "$logs/house.tap"
}

# The build has no limit: what it says, and why it is blocked, the tests say again.
cluster() {
	scripts/cluster/build.sh </dev/null
	scripts/helm.sh </dev/null
	pytest cluster 1500 cluster
}

# The whole matrix is make test-kernels. These two are where something breaks first.
guests() {
	rm -f "$logs/guests.tap"
	limited 1800 scripts/test-kernels.sh --quick --jobs "$jobs" --tap "$logs/guests.tap" \
		5.10/tracepoint sid/function 2>&1 | tee "$logs/guests.log"
	count guests "${PIPESTATUS[0]}" tap "$logs/guests.tap"
}

if [ "$suites" != house ] && ! built all; then
	echo "the build failed"
	echo "0 passed, 1 failed, 0 skipped"
	exit 1
fi
if [ -n "$beside" ]; then
	# A session of its own is a process group, to be ended as a whole, and an autogroup, which has a priority of its own.
	JOBS=1 setsid chrt --idle 0 bash -c 'echo 19 >/proc/self/autogroup 2>/dev/null; exec scripts/test.sh '"$beside" </dev/null >"$logs/beside.log" 2>&1 &
	other=$!
fi
for suite in $suites; do
	echo "== $suite${SAN:+ (ASan, UBSan)}"
	started=$SECONDS
	case $suite in
	unit) criterion unit 1200 ;; # beside others it gets what they leave
	kernel) criterion kernel 900 -j1 ;;
	container) pytest container 1200 container ;;
	deploy) pytest deploy 900 deploy ;;
	p2p) pytest p2p 1200 p2p ;;
	chaos | contract | interop | fuzz | house | guests | runtimes | cluster) $suite ;;
	esac
done

if [ -n "$beside" ]; then
	wait "$other"
	other=0
	sed -e '/^failed, once more:$/,$d' -e '$d' "$logs/beside.log"
	once_more < <(sed -n '/^failed, once more:$/,$p' "$logs/beside.log" | sed '1d;$d')
	if read -r p f s < <(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' "$logs/beside.log"); then
		passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
	else
		failed=$((failed + 1))
		once_more <<<"  failed: $beside: they did not come to their end"
	fi
fi

if [ ${#failures[@]} -gt 0 ]; then
	echo "failed, once more:"
	printf '%s\n' "${failures[@]}"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
