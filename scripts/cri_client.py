# SPDX-License-Identifier: Apache-2.0
"""Drives a container runtime over the CRI, for the demonstration and the tests. Needs Debian's python3-grpcio.

The messages are tests/container/cri.proto's, compiled into build/ when that file has changed.
"""
import importlib.util
import os
import subprocess
import tempfile
import time
import uuid

import grpc

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
IMAGE = "example.test/taffrail/busybox:1"
RUNNING, EXITED = 1, 2


def _messages():
    source = os.path.join(ROOT, "tests", "container", "cri.proto")
    folder = os.path.join(ROOT, "build", "proto")
    target = os.path.join(folder, "cri_pb2.py")
    if not os.path.exists(target) or os.path.getmtime(target) < os.path.getmtime(source):
        os.makedirs(folder, exist_ok=True)
        # Beside it, then renamed: others may do the same now.
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            subprocess.run(["protoc", f"-I{os.path.dirname(source)}", f"--python_out={fresh}", source], check=True)
            os.rename(os.path.join(fresh, "cri_pb2.py"), target)
    spec = importlib.util.spec_from_file_location("cri_pb2", target)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cri = _messages()

METHODS = {  # method: request, response
    "Version": ("VersionRequest", "VersionResponse"),
    "RunPodSandbox": ("RunPodSandboxRequest", "RunPodSandboxResponse"),
    "StopPodSandbox": ("PodSandboxRequest", "Empty"),
    "RemovePodSandbox": ("PodSandboxRequest", "Empty"),
    "PodSandboxStatus": ("PodSandboxRequest", "PodSandboxStatusResponse"),
    "ListPodSandbox": ("Empty", "ListPodSandboxResponse"),
    "CreateContainer": ("CreateContainerRequest", "CreateContainerResponse"),
    "StartContainer": ("ContainerRequest", "Empty"),
    "StopContainer": ("StopContainerRequest", "Empty"),
    "RemoveContainer": ("ContainerRequest", "Empty"),
    "ContainerStatus": ("ContainerRequest", "ContainerStatusResponse"),
    "ExecSync": ("ExecSyncRequest", "ExecSyncResponse"),
    "ImageStatus": ("ImageStatusRequest", "ImageStatusResponse"),
}


class Runtime:
    """A runtime's socket. Pods go below the cgroup that the laboratory names beside it, if it does."""

    def __init__(self, socket):
        self.channel = grpc.insecure_channel(f"unix:{os.path.abspath(socket)}", options=[("grpc.default_authority", "localhost")])
        self.cgroup = ""
        try:
            with open(os.path.join(os.path.dirname(socket), "cgroup"), encoding="ascii") as file:
                self.cgroup = file.read().strip()
        except OSError:
            pass

    def call(self, method, wait=30, **fields):
        request, response = METHODS[method]
        service = "ImageService" if method.startswith("Image") else "RuntimeService"
        call = self.channel.unary_unary(f"/runtime.v1.{service}/{method}", request_serializer=getattr(cri, request).SerializeToString,
                                        response_deserializer=getattr(cri, response).FromString)
        return call(getattr(cri, request)(**fields), timeout=wait)

    def image_id(self, image=IMAGE):
        return self.call("ImageStatus", image=cri.ImageSpec(image=image)).image.id

    def pod(self, name, namespace="default", **more):
        return Pod(self, name, namespace, **more)

    def close(self):
        self.channel.close()


class Pod:
    """A pod sandbox and its containers; kubelet's labels and cgroups, so that a runtime's other clients see no difference."""

    def __init__(self, runtime, name, namespace, labels=None, annotations=None, uid=None, shared_processes=False,
                 host_namespaces=(), privileged=False, log_directory=""):
        self.runtime, self.name, self.namespace = runtime, name, namespace
        self.uid = uid or str(uuid.uuid4())
        self.labels = {**(labels or {}), "io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace,
                       "io.kubernetes.pod.uid": self.uid}
        parent = f"{runtime.cgroup}/kubepods/besteffort/pod{self.uid}" if runtime.cgroup else ""
        # Kubelet's default is a pid namespace for each container; the CRI's is one for the pod.
        self.namespaces = cri.NamespaceOption(pid=cri.POD if shared_processes else cri.CONTAINER)
        for kind in host_namespaces:  # "network", "pid", "ipc"
            setattr(self.namespaces, kind, cri.NODE)
        context = cri.LinuxSandboxSecurityContext(namespace_options=self.namespaces, privileged=privileged)
        linux = cri.LinuxPodSandboxConfig(cgroup_parent=parent, security_context=context)
        self.config = cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=name, uid=self.uid, namespace=namespace), labels=self.labels,
            hostname="" if "network" in host_namespaces else name, log_directory=log_directory,
            annotations=annotations or {}, linux=linux)
        self.id = runtime.call("RunPodSandbox", config=self.config).pod_sandbox_id

    @property
    def ip(self):
        return self.runtime.call("PodSandboxStatus", pod_sandbox_id=self.id).status.network.ip

    def create(self, name, *command, image=IMAGE, user=None, mounts=(), environment=None, working_dir="",
               privileged=False, terminal=False, args=(), readonly=False, capabilities=None):
        """A container that has not been started; args instead of a command: the image's own program. Its log needs the pod's log_directory.
        With a list of capabilities it has these alone, no privilege comes by execve, and the runtime's filter of system calls is on."""
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name), image=cri.ImageSpec(image=image), command=command, args=args,
            working_dir=working_dir, tty=terminal, log_path=f"{name}.log" if self.config.log_directory else "",
            envs=[cri.KeyValue(key=key, value=value) for key, value in (environment or {}).items()],
            mounts=[cri.Mount(host_path=host, container_path=inside, readonly=not writable) for host, inside, *writable in mounts],
            labels={"io.kubernetes.container.name": name, "io.kubernetes.pod.name": self.name,
                    "io.kubernetes.pod.namespace": self.namespace, "io.kubernetes.pod.uid": self.uid})
        config.linux.security_context.namespace_options.CopyFrom(self.namespaces)
        config.linux.security_context.privileged = privileged
        config.linux.security_context.readonly_rootfs = readonly
        if capabilities is not None:
            config.linux.security_context.capabilities.add_capabilities.extend(capabilities)
            config.linux.security_context.capabilities.drop_capabilities.append("ALL")
            config.linux.security_context.no_new_privs = True
            config.linux.security_context.seccomp.profile_type = 0
        if user is not None:
            config.linux.security_context.run_as_user.value = user
        reply = self.runtime.call("CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        return Container(self.runtime, reply.container_id, name)

    def run(self, name, *command, **more):
        """A container that has been started."""
        container = self.create(name, *command, **more)
        container.start()
        return container

    def remove(self):
        """With its containers, at once."""
        try:
            self.runtime.call("StopPodSandbox", pod_sandbox_id=self.id)
        except grpc.RpcError:
            # A container ended by itself while it was killed, and its shim went away without an answer. kubelet asks again too.
            self.runtime.call("StopPodSandbox", pod_sandbox_id=self.id)
        self.runtime.call("RemovePodSandbox", pod_sandbox_id=self.id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.remove()


class Container:
    def __init__(self, runtime, container_id, name):
        self.runtime, self.id, self.name = runtime, container_id, name

    def start(self):
        self.runtime.call("StartContainer", container_id=self.id)

    def status(self):
        return self.runtime.call("ContainerStatus", container_id=self.id).status

    def wait(self, seconds=30):
        """Until it has ended; its exit code."""
        deadline = time.monotonic() + seconds
        while (status := self.status()).state != EXITED:
            if time.monotonic() > deadline:
                raise TimeoutError(f"container {self.name} still runs after {seconds} s")
            time.sleep(0.02)
        return status.exit_code

    def execute(self, *command, seconds=30):
        """As `kubectl exec` does: exit code, standard output and standard error."""
        reply = self.runtime.call("ExecSync", wait=seconds + 5, container_id=self.id, cmd=command, timeout=seconds)
        return reply.exit_code, reply.stdout, reply.stderr

    def remove(self):
        try:
            self.runtime.call("StopContainer", container_id=self.id, timeout=0)
        except grpc.RpcError:
            self.wait(10)  # it ended by itself while it was asked to, and its shim went away without an answer
        self.runtime.call("RemoveContainer", container_id=self.id)
