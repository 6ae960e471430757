# SPDX-License-Identifier: Apache-2.0
"""Who watches a network: a sensor, live, and a capture of the switch that taffrail p2p judges afterwards."""
import json
import os
import time

from programs import BIN, run


class Watch:
    def __init__(self, network):
        self.network = network
        self.capture, self.lines = network.folder / "capture.pcap", network.folder / "events.ndjson"
        log = network.folder / "sensor.log"
        with open(self.lines, "wb") as out, open(log, "wb") as errors:
            watcher = network.popen(os.path.join(BIN, "taffrail-sensor"), "--stdout", "--no-rules", stdout=out, stderr=errors)
        self.tcpdump = network.start(0, "tcpdump", "-i", "switch", "-U", "-w", self.capture, "-s", "128")
        deadline = time.monotonic() + 60
        while b"ready" not in log.read_bytes() or not self.capture.exists():
            assert time.monotonic() < deadline and watcher.poll() is None, log.read_text()
            time.sleep(0.1)

    def judge(self):
        """Ends the capture; its documents by the address that they are of."""
        self.tcpdump.terminate()
        self.tcpdump.wait(10)
        result = run("taffrail", "p2p", "--pcap", self.capture, "--json", timeout=60)
        assert result.returncode == 0, result.stderr
        return {document["host"]["ip"]: document for document in map(json.loads, result.stdout.splitlines())}

    def documents(self, number, *actions):
        """What the sensor has told of a host, in its order."""
        container = self.network.container(number)
        found = []
        for line in self.lines.read_text().splitlines(keepends=True):
            if container in line and line.endswith("\n"):
                document = json.loads(line)
                if document["container"]["id"] == container and (not actions or document["event"]["action"] in actions):
                    found.append(document)
        return found

    def findings(self, number):
        return [document for document in self.documents(number) if document["event"]["kind"] == "alert"]
