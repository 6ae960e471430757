#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""count-tests.py criterion|junit|tap FILE: prints "PASSED FAILED SKIPPED", then a line for each test that did not pass.

A report that is not there or not whole is an error: whoever wrote it died, and its tests did not all run.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree

import criterion


def read_criterion(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        for name, status, messages in criterion.tests(file.read()):
            yield name, status.lower(), messages


def junit(path):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}::{case.get('name')}"
        for kind, status in (("failure", "failed"), ("error", "errored"), ("skipped", "skipped")):
            found = case.find(kind)
            if found is not None:
                yield name, status, found.get("message", "").split("\n")[0]
                break
        else:
            yield name, "passed", ""


def tap(path):
    planned, seen = None, 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            plan = re.match(r"1\.\.(\d+)", line)
            if plan:
                planned = int(plan.group(1))
            test = re.match(r"(not )?ok\b(?: \d+)?(?: - )?(.*)", line)
            if test:
                seen += 1
                skip = re.search(r"# SKIP\b(.*)", test.group(2))
                yield test.group(2).strip(), "skipped" if skip else "failed" if test.group(1) else "passed", ""
    if planned != seen:
        raise ValueError(f"{planned} tests were planned, {seen} reported")


def main():
    readers = {"criterion": read_criterion, "junit": junit, "tap": tap}
    try:
        tests = list(readers[sys.argv[1]](sys.argv[2]))
    except (OSError, ValueError, KeyError, ElementTree.ParseError) as error:
        sys.exit(f"no whole report: {error}")
    passed = sum(status == "passed" for _, status, _ in tests)
    skipped = sum(status == "skipped" for _, status, _ in tests)
    print(passed, len(tests) - passed - skipped, skipped)
    for name, status, message in tests:
        if status != "passed":
            print(f"  {status}: {name}{': ' + message if message else ''}")


main()
