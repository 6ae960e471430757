# SPDX-License-Identifier: Apache-2.0
"""deploy/kustomize and deploy/helm: what they render, point by point. tests/cluster applies them to a real cluster."""
import copy
import functools
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from programs import ROOT, run, version

KUSTOMIZE = os.path.join(ROOT, "deploy", "kustomize")
CHART = os.path.join(ROOT, "deploy", "helm", "taffrail")
CAPABILITIES = ["BPF", "PERFMON", "NET_ADMIN"]
OVERLAYS = ["old-kernels", "crio", "k3s"]
# What a chart must be told to give the same as an overlay.
VALUES = {
    "base": {}, "old-kernels": {"sensor": {"oldKernels": True}},
    "crio": {"sensor": {"runtime": {"socket": "/run/crio/crio.sock", "state": "/run/containers/storage",
                                    "directories": ["/run/crio", "/run/containers/storage"]}}},
    "k3s": {"sensor": {"runtime": {"socket": "/run/k3s/containerd/containerd.sock", "state": "/run/k3s/containerd",
                                   "directories": ["/run/k3s/containerd"]}}}}


# --- rendering -------------------------------------------------------------------------------------------------------

def kubectls():
    """Each kubectl that is here and knows the kustomization's words: the machine's, and that of the cluster's build."""
    own = os.path.join(ROOT, "build", "cluster", "kube")
    found = [[path] for path in [shutil.which("kubectl")] if path] + ([[own, "kubectl"]] if os.access(own, os.X_OK) else [])
    able = []
    for command in found:
        said = subprocess.run([*command, "version", "--client", "-o", "json"], capture_output=True, text=True)
        version = json.loads(said.stdout or "{}").get("kustomizeVersion", "v0")
        if int(re.match(r"v(\d+)", version).group(1)) >= 5:
            able.append(command)
    return able


@functools.cache
def rendered(folder):
    commands = kubectls()
    if not commands:
        pytest.skip("no kubectl with kustomize 5 is here: Debian 12's is older, scripts/cluster/build.sh builds one")
    texts = []
    for command in commands:
        done = subprocess.run([*command, "kustomize", folder], capture_output=True, text=True)
        assert done.returncode == 0 and done.stderr == "", done.stderr
        texts.append(done.stdout)
    assert len(set(texts)) == 1, "each kubectl renders the same"
    return by_name(texts[0])


def by_name(text):
    objects = {}
    for one in yaml.safe_load_all(text):
        if one:
            key = (one["kind"], one["metadata"]["name"])
            assert key not in objects, key
            objects[key] = one
    return objects


def base():
    return rendered(os.path.join(KUSTOMIZE, "base"))


def overlay(name):
    return rendered(os.path.join(KUSTOMIZE, "base" if name == "base" else f"overlays/{name}"))


def sensor_pod(objects):
    return objects["DaemonSet", "taffrail-sensor"]["spec"]["template"]["spec"]


def collector_pod(objects):
    return objects["StatefulSet", "taffrail-collector"]["spec"]["template"]["spec"]


def workloads(objects):
    return [objects["DaemonSet", "taffrail-sensor"], objects["StatefulSet", "taffrail-collector"]]


def only(items):
    one, = items
    return one


def config(objects, name):
    return yaml.safe_load(only(objects["ConfigMap", f"taffrail-{name}"]["data"].values()))


@pytest.fixture(params=["base", *OVERLAYS])
def objects(request):
    """The base, and each overlay that only goes around something of the nodes."""
    return overlay(request.param)


# --- the points ------------------------------------------------------------------------------------------------------

def test_the_objects():
    assert sorted(base()) == [
        ("ConfigMap", "taffrail-collector"), ("ConfigMap", "taffrail-sensor"), ("DaemonSet", "taffrail-sensor"),
        ("Namespace", "taffrail"), ("NetworkPolicy", "taffrail-collector"), ("NetworkPolicy", "taffrail-sensor"),
        ("PodDisruptionBudget", "taffrail-collector"), ("PriorityClass", "taffrail-collector"), ("PriorityClass", "taffrail-sensor"),
        ("Service", "taffrail-collector"), ("Service", "taffrail-collectors"), ("Service", "taffrail-sensor"),
        ("ServiceAccount", "taffrail-collector"), ("ServiceAccount", "taffrail-sensor"), ("StatefulSet", "taffrail-collector")]
    for (kind, _), one in base().items():
        assert one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "taffrail"
        assert (kind in ("Namespace", "PriorityClass")) == ("namespace" not in one["metadata"])


def test_images_are_pinned(objects):
    for workload, image in zip(workloads(objects), ("sensor", "collector")):
        container = only(workload["spec"]["template"]["spec"]["containers"])
        assert container["image"] == f"docker.io/taffrail/{image}:{version()}" and container["imagePullPolicy"] == "IfNotPresent"


def test_nothing_of_the_host_but_its_pids_and_directories(objects):
    for pod in (sensor_pod(objects), collector_pod(objects)):
        for forbidden in ("hostNetwork", "hostIPC", "initContainers", "shareProcessNamespace"):
            assert not pod.get(forbidden), forbidden
        assert not [port for port in only(pod["containers"])["ports"] if "hostPort" in port]
    assert sensor_pod(objects)["hostPID"] is True and "hostPID" not in collector_pod(objects)
    assert not [volume for volume in collector_pod(objects)["volumes"] if "hostPath" in volume]


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_least_privilege(name):
    objects = overlay(name)
    more = {"old-kernels": ["SYS_RESOURCE"]}.get(name, [])
    for pod, added in ((sensor_pod(objects), CAPABILITIES + more), (collector_pod(objects), None)):
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        context = only(pod["containers"])["securityContext"]
        assert context == {"privileged": False, "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                           "capabilities": {"drop": ["ALL"], **({"add": added} if added else {})}}
    assert sensor_pod(objects)["securityContext"]["runAsUser"] == 0
    own = collector_pod(objects)["securityContext"]
    assert own["runAsNonRoot"] is True and own["runAsUser"] == own["runAsGroup"] == own["fsGroup"] == 65532


def test_two_writable_host_paths(objects):
    pod = sensor_pod(objects)
    mounts = {mount["name"]: mount for mount in only(pod["containers"])["volumeMounts"]}
    host = {volume["name"]: volume["hostPath"] for volume in pod["volumes"] if "hostPath" in volume}
    assert set(mounts) == {volume["name"] for volume in pod["volumes"]}
    writable = {path["path"]: mounts[name]["mountPath"] for name, path in host.items() if not mounts[name].get("readOnly")}
    assert writable == {"/var/lib/taffrail": "/var/lib/taffrail", "/sys/fs/bpf": "/sys/fs/bpf"}
    for name, path in host.items():
        # A path that is not there is an event of the pod, and not made: but for the sensor's own.
        assert path["type"] == ("DirectoryOrCreate" if name == "state" else "File" if name == "machine-id" else "Directory")
        if mounts[name].get("readOnly"):
            assert mounts[name]["mountPath"] == f"/host{path['path']}" and path["path"] not in ("/", "/run", "/var", "/etc")
    for name, mount in mounts.items():
        assert name in host or mount["readOnly"] is True


def test_configuration_and_certificates_are_directories(objects):
    """A file by itself (subPath) would never change in a running pod."""
    for pod, name in ((sensor_pod(objects), "sensor"), (collector_pod(objects), "collector")):
        container = only(pod["containers"])
        assert not [mount for mount in container["volumeMounts"] if "subPath" in mount]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["config"]["configMap"]["name"] == f"taffrail-{name}"
        assert container["args"][:2] == ["--config", f"{mounts['config']}/{name}.yaml"]
        assert volumes["tls"]["secret"]["secretName"] == f"taffrail-{name}-tls" and not volumes["tls"]["secret"]["defaultMode"] & 0o007
        tls = config(objects, name)["tls"]
        assert tls == {"ca": f"{mounts['tls']}/ca.crt", "cert": f"{mounts['tls']}/tls.crt", "key": f"{mounts['tls']}/tls.key"}
    assert not [key for key in objects if key[0] == "Secret"]


def test_what_the_configurations_name_is_mounted(objects):
    said, mounts = config(objects, "sensor"), only(sensor_pod(objects)["containers"])["volumeMounts"]

    def mounted(path):
        return only([mount for mount in mounts if os.path.commonpath([mount["mountPath"], path]) == mount["mountPath"]])

    for socket in said["cri"]["sockets"]:
        assert mounted(socket)["readOnly"]
    for state in said["cri"]["state"]:
        # The roots of containers are mounted there later.
        assert mounted(said["host"]["root"] + state)["mountPropagation"] == "HostToContainer"
    for path in ("/proc", "/sys/fs/cgroup", "/etc/machine-id"):
        assert mounted(said["host"]["root"] + path)["readOnly"]
    assert mounted(said["spool"]["dir"])["name"] == "state" and mounted("/sys/fs/bpf/taffrail")["name"] == "bpffs"
    claim = only(objects["StatefulSet", "taffrail-collector"]["spec"]["volumeClaimTemplates"])["metadata"]["name"]
    data = only([mount for mount in only(collector_pod(objects)["containers"])["volumeMounts"] if mount["name"] == claim])
    assert os.path.dirname(config(objects, "collector")["data"]) == data["mountPath"]


def test_logs_are_for_machines(objects):
    for name in ("sensor", "collector"):
        assert config(objects, name)["log"]["format"] in ("logfmt", "json")


@pytest.mark.parametrize("name", ["sensor", "collector"])
def test_logs_of_a_single_machine_are_for_machines(name):
    with open(os.path.join(ROOT, "deploy", "debian", f"{name}.yaml"), encoding="utf-8") as file:
        assert yaml.safe_load(file)["log"]["format"] in ("logfmt", "json")


def test_a_reader_asks_for_the_name_that_the_certificate_has(objects):
    """In the collector's pod it dials the pod itself, by an address that no certificate of a Service has."""
    address, = config(objects, "sensor")["collector"]
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        assert f"-- taffrail watch --tls-name {address.rpartition(':')[0]} " in file.read()


def test_probes(objects):
    for pod, name in ((sensor_pod(objects), "sensor"), (collector_pod(objects), "collector")):
        container = only(pod["containers"])
        port = only([port for port in container["ports"] if port["name"] == "http"])["containerPort"]
        assert config(objects, name)["http"] == f"0.0.0.0:{port}"
        for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def test_services_lead_to_the_pods(objects):
    ports = {}
    for workload in workloads(objects):
        template = workload["spec"]["template"]
        labels = template["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
        for (kind, name), one in objects.items():
            if kind == "Service" and one["spec"]["selector"].items() <= labels.items():
                ports[name] = {port["name"]: port["port"] for port in one["spec"]["ports"]}
                own = {port["name"] for port in only(template["spec"]["containers"])["ports"]}
                assert {port["targetPort"] for port in one["spec"]["ports"]} <= own
    assert ports == {"taffrail-collector": {"grpc": 7443}, "taffrail-collectors": {"grpc": 7443, "http": 9090}, "taffrail-sensor": {"http": 9090}}
    namespace = only([name for kind, name in objects if kind == "Namespace"])
    assert config(objects, "sensor")["collector"] == [f"taffrail-collector.{namespace}.svc:7443"]
    assert config(objects, "collector")["listen"] == "0.0.0.0:7443"
    stateful = objects["StatefulSet", "taffrail-collector"]["spec"]["serviceName"]
    assert objects["Service", stateful]["spec"]["clusterIP"] == "None"


def test_the_network_policies_let_through_what_is_needed_alone(objects):
    pods = {name: workload["spec"]["template"]["metadata"]["labels"] for name, workload in zip(("sensor", "collector"), workloads(objects))}
    for name, labels in pods.items():
        spec = objects["NetworkPolicy", f"taffrail-{name}"]["spec"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items() and spec["policyTypes"] == ["Ingress", "Egress"]
    out = objects["NetworkPolicy", "taffrail-sensor"]["spec"]["egress"]
    assert only(out[0]["to"])["podSelector"]["matchLabels"].items() <= pods["collector"].items()
    assert [[port["port"] for port in rule["ports"]] for rule in out] == [[7443], [53, 53]]
    collector = objects["NetworkPolicy", "taffrail-collector"]["spec"]
    assert collector["egress"] == [] and [[port["port"] for port in rule["ports"]] for rule in collector["ingress"]] == [[7443], [9090]]
    assert collector["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items() <= pods["sensor"].items()
    # Metrics are nobody's by default: a namespace is let in by a label.
    scraper = {"from": [{"namespaceSelector": {"matchLabels": {"taffrail.io/metrics": "true"}}}], "ports": [{"port": 9090, "protocol": "TCP"}]}
    assert objects["NetworkPolicy", "taffrail-sensor"]["spec"]["ingress"] == [scraper] and collector["ingress"][1] == scraper


def test_no_tokens(objects):
    for pod in (sensor_pod(objects), collector_pod(objects)):
        assert pod["automountServiceAccountToken"] is False and pod["enableServiceLinks"] is False
        assert objects["ServiceAccount", pod["serviceAccountName"]]["automountServiceAccountToken"] is False
    assert not [kind for kind, _ in objects if "Role" in kind]


def test_every_node_has_a_sensor_and_keeps_it(objects):
    pod = sensor_pod(objects)
    assert pod["tolerations"] == [{"operator": "Exists"}] and pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
    value = objects["PriorityClass", pod["priorityClassName"]]["value"]
    assert value == 10 ** 9 > objects["PriorityClass", collector_pod(objects)["priorityClassName"]]["value"] > 0
    update = objects["DaemonSet", "taffrail-sensor"]["spec"]["updateStrategy"]
    assert update == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    assert pod["terminationGracePeriodSeconds"] > 5  # drain
    assert config(objects, "sensor")["spool"]["wait"] == "10m"  # the new one of a node for the old one


def test_the_disruption_budget_is_the_collectors_and_lets_a_node_be_drained(objects):
    spec = objects["PodDisruptionBudget", "taffrail-collector"]["spec"]
    workload = objects["StatefulSet", "taffrail-collector"]["spec"]
    assert spec["selector"]["matchLabels"].items() <= workload["template"]["metadata"]["labels"].items()
    assert spec["maxUnavailable"] == 1 and "minAvailable" not in spec


def mebibytes(text):
    number, unit = re.fullmatch(r"(\d+)([MG])i", text).groups()
    return int(number) * {"M": 1, "G": 1024}[unit]


def test_resources(objects):
    for pod in (sensor_pod(objects), collector_pod(objects)):
        resources = only(pod["containers"])["resources"]
        assert set(resources["requests"]) == {"cpu", "memory"} and set(resources["limits"]) == {"memory"}
        assert mebibytes(resources["requests"]["memory"]) < mebibytes(resources["limits"]["memory"])
    # Batches in memory, the rings and the kernel's tables beside what it takes itself (docs/measurements.md).
    assert mebibytes(only(sensor_pod(objects)["containers"])["resources"]["limits"]["memory"]) >= 116 + 2 * 64


def restricted(pod):
    """What the level "restricted" of the Pod Security Standards says against a pod, of what can be said against these."""
    found = [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    found += [volume["name"] for volume in pod["volumes"] if "hostPath" in volume]
    context = pod["securityContext"]
    found += [] if context.get("runAsNonRoot") else ["runAsNonRoot"]
    found += [] if context["seccompProfile"]["type"] == "RuntimeDefault" else ["seccompProfile"]
    for container in pod["containers"]:
        own = container["securityContext"]
        found += [name for name in own["capabilities"].get("add", []) if name != "NET_BIND_SERVICE"]
        found += [] if "ALL" in own["capabilities"]["drop"] else ["drop"]
        found += [key for key in ("allowPrivilegeEscalation", "privileged") if own[key]]
    return found


def test_pod_security(objects):
    labels = only([one for (kind, _), one in objects.items() if kind == "Namespace"])["metadata"]["labels"]
    assert {labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")} == {"privileged"}
    assert restricted(collector_pod(objects)) == []
    allowed = {"hostPID", "runAsNonRoot", *CAPABILITIES, "SYS_RESOURCE"}
    host = {volume["name"] for volume in sensor_pod(objects)["volumes"] if "hostPath" in volume}
    assert set(restricted(sensor_pod(objects))) <= allowed | host


@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_changes_what_it_is_for_alone(name):
    changed = {key for key, one in overlay(name).items() if one != base()[key]}
    assert changed == {("DaemonSet", "taffrail-sensor")} | ({("ConfigMap", "taffrail-sensor")} if name != "old-kernels" else set())
    assert set(overlay(name)) == set(base())
    if name != "old-kernels":
        was, now = config(base(), "sensor"), config(overlay(name), "sensor")
        assert {key for key in was if was[key] != now[key]} == {"cri"} and set(was) == set(now)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    subprocess.run([os.path.join(ROOT, "scripts", "make-test-ca"), str(folder)], check=True)
    return str(folder)


@pytest.fixture(scope="module")
def first_steps(certificates, tmp_path_factory):
    """overlays/test with certificates, in a copy of deploy/kustomize: no test writes into the tree."""
    folder = tmp_path_factory.mktemp("copy") / "kustomize"
    shutil.copytree(KUSTOMIZE, folder, ignore=shutil.ignore_patterns("ca"))
    shutil.copytree(certificates, folder / "overlays" / "test" / "ca")
    return rendered(str(folder / "overlays" / "test"))


def test_the_overlay_for_first_steps(first_steps):
    secrets = {name: one for (kind, name), one in first_steps.items() if kind == "Secret"}
    assert set(secrets) == {"taffrail-sensor-tls", "taffrail-collector-tls", "taffrail-reader-tls"}
    for one in secrets.values():
        assert one["type"] == "kubernetes.io/tls" and set(one["data"]) == {"ca.crt", "tls.crt", "tls.key"}
        assert one["metadata"]["namespace"] == "taffrail"
    assert only(collector_pod(first_steps)["containers"])["args"][2:] == ["--output", "ecs-json:/var/lib/taffrail/events.ndjson"]
    same = {key: one for key, one in first_steps.items() if key[0] not in ("Secret", "StatefulSet")}
    assert same == {key: one for key, one in base().items() if key[0] != "StatefulSet"}


@pytest.mark.parametrize("name", ["sensor", "collector"])
def test_the_programs_take_the_configurations(name, objects, certificates, tmp_path):
    text = only(objects["ConfigMap", f"taffrail-{name}"]["data"].values())
    for mounted, made in (("ca.crt", "ca.pem"), ("tls.crt", f"{name}.pem"), ("tls.key", f"{name}.key")):
        assert f"/etc/taffrail/tls/{mounted}" in text
        text = text.replace(f"/etc/taffrail/tls/{mounted}", f"{certificates}/{made}")
    file = tmp_path / f"{name}.yaml"
    file.write_text(text)
    for arguments, code in (([], 0), (["--set", "nothing=knows-this"], 2)):
        done = run(f"taffrail-{name}", "--check-config", "--config", str(file), *arguments)
        assert done.returncode == code, done.stderr


# --- the chart -------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def helm():
    build = subprocess.run([os.path.join(ROOT, "scripts", "helm.sh")], capture_output=True, text=True)
    if build.returncode == 77:
        pytest.skip(build.stderr.strip().splitlines()[-1])
    assert build.returncode == 0, build.stderr

    def call(*arguments, values=None):
        more = ["--values", "-"] if values is not None else []
        return subprocess.run([os.path.join(ROOT, "build", "helm", "helm"), *arguments, *more], capture_output=True, text=True,
                              input=yaml.safe_dump(values or {}))

    return call


def comparable(objects):
    """A configuration is what it says, not how it is written; and what is mounted has no order."""
    same = copy.deepcopy(objects)
    for (kind, _), one in same.items():
        if kind == "ConfigMap":
            one["data"] = {name: yaml.safe_load(text) for name, text in one["data"].items()}
    for pod in (sensor_pod(same), collector_pod(same)):
        pod["volumes"].sort(key=lambda volume: volume["name"])
        only(pod["containers"])["volumeMounts"].sort(key=lambda mount: mount["mountPath"])
    return same


def chart(helm, values):
    done = helm("template", "taffrail", CHART, "--namespace", "taffrail", "--kube-version", "1.34.0", values={"namespace": {"create": True}, **values})
    assert done.returncode == 0, done.stderr
    return by_name(done.stdout)


def test_the_chart_is_clean(helm):
    for values in VALUES.values():
        done = helm("lint", "--strict", CHART, values=values)
        assert done.returncode == 0 and "[WARNING]" not in done.stdout, done.stdout + done.stderr
    with open(os.path.join(CHART, "Chart.yaml"), encoding="utf-8") as file:
        said = yaml.safe_load(file)
    assert said["version"] == said["appVersion"] == version()
    done = helm("template", "taffrail", CHART, "--kube-version", "1.29.9")
    assert done.returncode != 0 and "1.30" in done.stderr, "recursiveReadOnly is not there"


@pytest.mark.parametrize("name", list(VALUES))
def test_the_chart_gives_the_same_objects(helm, name):
    wanted, found = comparable(overlay(name)), comparable(chart(helm, VALUES[name]))
    assert set(found) == set(wanted)
    for key, one in wanted.items():
        assert found[key] == one, key


def test_the_chart_gives_the_same_objects_for_first_steps(helm, first_steps):
    found = comparable(chart(helm, {"collector": {"outputs": ["ecs-json:/var/lib/taffrail/events.ndjson"]}}))
    assert found == comparable({key: one for key, one in first_steps.items() if key[0] != "Secret"})


def test_the_charts_own_values(helm):
    digest = "sha256:" + 64 * "0"
    made = chart(helm, {"namespace": {"create": False}, "networkPolicy": {"enabled": False}, "image": {"repository": "registry.test/own", "pullSecrets": [{"name": "mine"}]},
                        "sensor": {"digest": digest, "config": {"record": {"kinds": ["exec"]}}}, "collector": {"storage": {"className": "fast"}}})
    assert not [kind for kind, _ in made if kind in ("Namespace", "NetworkPolicy")]
    assert only(sensor_pod(made)["containers"])["image"] == f"registry.test/own/sensor@{digest}"
    assert sensor_pod(made)["imagePullSecrets"] == [{"name": "mine"}]
    said = config(made, "sensor")
    assert said["record"] == {"kinds": ["exec"]} and said["host"] == {"root": "/host"} and said["http"] == "0.0.0.0:9090"
    assert only(made["StatefulSet", "taffrail-collector"]["spec"]["volumeClaimTemplates"])["spec"]["storageClassName"] == "fast"
