#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# lint.sh check|format    format rewrites the C sources; check changes nothing and says all that is wrong.
#
# LINT_NODES=N: how far the analyzer goes into each function (30000; its own measure, 225000, takes three times as long).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. scripts/common.sh

scripts/deps.sh build lint || exit 1
list() { # the tree's files of these patterns, without those that are deleted
	git -c safe.directory='*' ls-files -co --exclude-standard -- "$@" | while IFS= read -r file; do [ ! -f "$file" ] || echo "$file"; done
}
mapfile -t sources < <(list '*.c' '*.h')
mapfile -t units < <(list 'user/*.c')
mapfile -t tests < <(list 'tests/*.c')
mapfile -t programs < <(list 'bpf/*.bpf.c')
mapfile -t shells < <(list '*.sh' .ci/run scripts/make-test-ca deploy/debian/post* deploy/debian/prerm)

case ${1:-check} in
format)
	exec clang-format -i "${sources[@]}"
	;;
check) ;;
*) die "check or format" ;;
esac

failed=0
step() { # NAME COMMAND...: prints what the command said, if it failed
	local name=$1 output started=$SECONDS
	shift
	if output=$("$@" 2>&1); then
		echo "ok     $name ($((SECONDS - started)) s)"
	else
		echo "FAILED $name"
		printf '%s\n' "$output"
		failed=1
	fi
}

tidy() { # CHECKS FLAGS FILES...: with these checks beside .clang-tidy's; in parallel, only the findings
	local checks=$1 flags="$2 -Xclang -analyzer-config -Xclang max-nodes=${LINT_NODES:-30000}" output
	shift 2
	# shellcheck disable=SC2086 # flags are many words
	output=$(printf '%s\n' "$@" | xargs -P "$(nproc)" -I{} sh -c \
		'file=$1; checks=$2; shift 2; clang-tidy --quiet --checks="$checks" "$file" -- "$@" 2>/dev/null ||
		 echo "$file: clang-tidy found something, or died"' sh {} "$checks" $flags)
	[ -z "$output" ] || printf '%s\n' "$output"
	[ -z "$output" ]
}

analysed() { # cppcheck, over all at once so that it sees across files
	cppcheck --quiet --std=c11 --language=c --enable=warning,performance,portability --inline-suppr --error-exitcode=1 -j "$(nproc)" \
		--suppressions-list=scripts/cppcheck-suppressions --template='{file}:{line}: {id}: {message}' \
		-D__x86_64__ -D_GNU_SOURCE '-DTest(suite,name,...)=void suite##name(void)' '-DTestSuite(...)=' -I. -Iuser "${units[@]}" "${tests[@]}"
}

# What the tree must not hold: unfinished work, a path of somebody's machine, a package registry's host.
words() {
	local pattern='\b(TOD[O]|FIXM[E]|XX[X])\b|/hom[e]/[a-z]|/wor[k]/|/User[s]/|npmjs[.]org|pypi[.]org|pythonhosted[.]|crates[.]io|(proxy|sum)[.]golang[.]org|maven[.]org|debian[.]org'
	! list . | tr '\n' '\0' | xargs -0 grep -InE "$pattern"
}

# Generated headers must be there before anything can be parsed.
as_owner make -s generated </dev/null || die "the generated headers could not be made"
step "clang-format" clang-format --dry-run --Werror "${sources[@]}"
step "words" words
step "shellcheck" shellcheck --external-sources "${shells[@]}"
step "cppcheck" analysed
step "clang-tidy user" tidy '' "$(make -s flags)" "${units[@]}"
# Paths through a test are few, and Criterion's macros make the analyzer follow many.
step "clang-tidy tests" tidy '-clang-analyzer-*' "$(make -s flags)" "${tests[@]}"
step "clang-tidy bpf" tidy '' "$(make -s bpf-flags)" "${programs[@]}"
exit $failed
