# SPDX-License-Identifier: Apache-2.0
"""Criterion's reports: what its --json writes is JSON only as long as no message holds a quotation mark or a backslash."""
import json
import re


def repaired(text):
    """Escapes the messages, which stand in lines of their own."""
    def escape(line):
        message = re.fullmatch(r'(\s+)"(.*)"(,?)', line)
        if not message or re.fullmatch(r'\s+"[a-z_]+": .*', line):
            return line
        return message.group(1) + json.dumps(message.group(2)) + message.group(3)
    return "\n".join(escape(line) for line in text.split("\n"))


def tests(text):
    """Yields (suite/test, status, messages)."""
    for suite in json.loads(repaired(text), strict=False)["test_suites"]:
        for test in suite["tests"]:
            yield f"{suite['name']}/{test['name']}", test["status"], " ".join(test.get("messages", []))
