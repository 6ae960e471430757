#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the guests reported, held against the table of known gaps, tests/kernel/gaps.

judge.py guest KERNEL MODE LOG TAP SECONDS   takes Criterion's report out of a guest's console, writes it as TAP, prints what failed
judge.py table TAP...                        prints all guests in one table and the closing line; fails if a test did
judge.py gaps                                prints the known gaps as README.md's table
"""
import fnmatch
import json
import re
import sys
from collections import Counter
from pathlib import Path

GAPS = Path(__file__).parents[2] / "tests/kernel/gaps"
FILTERED = "The test was skipped."  # Criterion's own words for a test that --filter leaves out


def read_gaps():
    """Yields (kernel pattern, mode pattern, test pattern, reason)."""
    for number, line in enumerate(GAPS.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            words = line.split(maxsplit=3)
            if len(words) < 4:
                sys.exit(f"{GAPS}:{number}: a gap is KERNEL MODE TEST REASON")
            yield words


def gap_of(gaps, kernel, mode, test):
    for gap in gaps:
        if all(fnmatch.fnmatchcase(name, pattern) for name, pattern in zip((kernel, mode, test), gap)):
            return gap[3]
    return None


def report_of(log):
    """The runner's status and its tests, from the console."""
    found = re.search(r"^==== the runner ended with status (\d+), its report:\n(.*)\n==== end of the report$", log, re.M | re.S)
    if not found:
        lines = [line for line in log.split("\n") if line.strip()]
        raise ValueError("the guest ended without a report; its last words: " + (lines[-1] if lines else "none"))
    for suite in json.loads(found.group(2), strict=False)["test_suites"]:
        for test in suite["tests"]:
            messages = " ".join(test.get("messages", []))
            if test["status"] != "SKIPPED" or messages != FILTERED:
                yield f"{suite['name']}/{test['name']}", test["status"], messages


def judge(name, status, messages, reason):
    """One line of TAP; a gap that is none is worse than a gap that is known."""
    messages = " ".join(messages.split())
    if status == "SKIPPED":
        return f"ok - {name} # SKIP not here: {messages}"
    if reason and status != "PASSED":
        return f"ok - {name} # SKIP known gap: {reason}"
    if reason:
        return f"not ok - {name}: passes, but tests/kernel/gaps lists it: {reason}"
    if status != "PASSED":
        return f"not ok - {name}: {messages or status.lower()}"
    return f"ok - {name}"


def guest(kernel, mode, log, tap, seconds):
    gaps = list(read_gaps())
    text = Path(log).read_text(encoding="utf-8", errors="replace").replace("\r", "")
    try:
        tests = list(report_of(text))
        if not tests:
            raise ValueError("not one test ran")
        lines = [judge(f"{kernel} {mode} {name}", status, messages, gap_of(gaps, kernel, mode, name))
                 for name, status, messages in sorted(tests)]
    except (ValueError, KeyError) as error:
        lines = [f"not ok - {kernel} {mode} guest: {error}"]
    with open(tap, "w", encoding="utf-8") as file:
        print(f"# {kernel} {mode} {seconds}", *lines, f"1..{len(lines)}", sep="\n", file=file)
    for line in lines:
        if line.startswith("not ok"):
            print("  " + line)
    print(f"  the console is in {log}")


def outcome(line):
    if line.startswith("not ok"):
        return "failed"
    if "# SKIP known gap" in line:
        return "known gap"
    return "not here" if "# SKIP" in line else "passed"


def table(taps):
    total = Counter()
    columns = ("passed", "failed", "known gap", "not here")
    print(f"{'kernel':<10}{'mode':<12}" + "".join(f"{column:>11}" for column in columns) + "    seconds")
    for tap in taps:
        head, *lines = Path(tap).read_text(encoding="utf-8").splitlines()
        _, kernel, mode, seconds = head.split()
        counts = Counter(outcome(line) for line in lines if not line.startswith("1.."))
        total += counts
        print(f"{kernel:<10}{mode:<12}" + "".join(f"{counts[column]:>11}" for column in columns) + f"{seconds:>11}")
    print(f"{total['passed']} passed, {total['failed']} failed, {total['known gap'] + total['not here']} skipped")
    sys.exit(1 if total["failed"] else 0)


def gaps_table():
    print("| kernel | hooks | test | why |\n|---|---|---|---|")
    for kernel, mode, test, reason in read_gaps():
        print(f"| {kernel.replace('*', 'any')} | {mode.replace('*', 'any')} | `{test}` | {reason} |")


def main():
    match sys.argv[1:]:
        case ["guest", kernel, mode, log, tap, seconds]:
            guest(kernel, mode, log, tap, seconds)
        case ["table", *taps] if taps:
            table(taps)
        case ["gaps"]:
            gaps_table()
        case _:
            sys.exit(__doc__)


main()
