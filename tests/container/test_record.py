# SPDX-License-Identifier: Apache-2.0
"""What is recorded, by the names that the runtime gives a container."""
import json

from conftest import Documents, get, named

LOOP = "n=0; while [ $n -lt 200 ]; do : < /srv/www/index.html; : < /etc/passwd; n=$((n+1)); done; exec /bin/true end"

RULES = """
record:
  leave_out:
    - kinds: [exec]
      namespaces: [record-quiet, "record-still-*"]
    - labels: {app: [noisy, "loud-*"], tier: "1"}
      paths: [/srv/]
      modes: [read]
"""


def filtered(running):
    """What the sensor says it left out, of its whole life."""
    found = [json.loads(line)["taffrail"]["filtered"] for line in running.lines if '"action":"events_filtered"' in line]
    assert len(found) == 1, found
    return found[0]


def test_namespaces_and_labels_decide(start, pods, socket_path, tmp_path):
    path = tmp_path / "record.yaml"
    path.write_text(RULES)
    running = start("taffrail-sensor", "--stdout", "--cri", socket_path, "--config", str(path))
    running.ready()
    sensor = Documents(running)
    quiet = pods("quiet", "record-quiet")
    still = pods("still", "record-still-1")
    noisy = pods("noisy", "record-loud", labels={"app": "noisy", "tier": "1"})
    louder = pods("louder", "record-loud", labels={"app": "loud-1", "tier": "1", "more": "x"})
    other = pods("other", "record-quiet-2", labels={"app": "noisy", "tier": "2"})
    ran = {pod: pod.run("main", "/bin/sh", "-c", LOOP) for pod in (quiet, still, noisy, louder, other)}

    def own(container, action, **where):  # without what the runtime's init does, which joins the cgroup now before, now after its exec
        return [document for document in sensor.of(container, action, **where) if not get(document, "taffrail.runtime_setup")]

    def opens(pod, path):
        return sum(get(document, "taffrail.count") or 1 for document in own(ran[pod], "open", file__path=path))

    for pod, container in ran.items():
        assert container.wait(60) == 0
        named(sensor.one(container, "end", process__name="true"), pod, "main")
    running.wait_for(lambda: opens(other, "/etc/passwd") >= 200)
    assert running.end() == 0

    for pod in (quiet, still):
        assert sensor.of(ran[pod], "exec") == [] and sensor.of(pod.id, "exec") == [], "not even the first one"
        assert opens(pod, "/srv/www/index.html") == 200
    for pod in (noisy, louder):
        assert opens(pod, "/srv/www/index.html") == 0
        assert len(own(pod.id, "exec")) == 1
    for pod in (noisy, louder, other):
        assert [document["process"]["name"] for document in own(ran[pod], "exec")] == ["sh", "true"]
        assert opens(pod, "/etc/passwd") == 200
    assert opens(other, "/srv/www/index.html") == 200
    told = filtered(running)
    # Of the two quiet pods: what pause, sh and true began, and perhaps what the runtime's four inits did; of the two noisy
    # ones: every read, most of them in the kernel.
    assert 2 * 3 <= told["counts"]["exec"] <= 2 * 3 + 8 and told["counts"]["open"] == 2 * 200
    assert told["count"] == sum(told["counts"].values()) and told["kinds"] == ["exec", "open"]
    assert 0 < told["in_kernel"] <= 400


def test_what_ran_before_the_sensor_is_left_out_in_the_kernel(start, pods, socket_path, tmp_path):
    path = tmp_path / "record.yaml"
    path.write_text(RULES)
    container = pods("before", "record-loud", labels={"app": "noisy", "tier": "1"}).run("main", "/bin/sleep", "1000000")
    running = start("taffrail-sensor", "--stdout", "--cri", socket_path, "--config", str(path))
    running.ready()
    sensor = Documents(running)
    assert container.execute("/bin/sh", "-c", LOOP)[0] == 0
    sensor.one(container, "end", process__name="true")
    assert running.end() == 0
    assert sensor.of(container, "open", file__path="/srv/www/index.html") == []
    told = filtered(running)
    assert told["counts"] == {"open": 200} and told["in_kernel"] == 200
