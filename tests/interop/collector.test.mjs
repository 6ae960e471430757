// SPDX-License-Identifier: Apache-2.0
// A sensor written with grpc-js against our collector, and a reader of Query.Watch.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import { after, afterEach, beforeEach, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { documents, proto, start, temporary, until } from "./lab.mjs";

const host = { id: "node-sensor", name: "node-1", bootId: "0f6c2f0e-0000-4000-8000-000000000000", cluster: "prod" };
const containerId = Buffer.alloc(32, 0xab), entity = Buffer.alloc(12, 7);
let folder, address, collector, clients;

beforeEach(async () => {
	folder = temporary();
	address = `unix:${folder}/s`;
	clients = [];
	await startCollector();
});
afterEach(async () => {
	clients.forEach(client => client.close());
	await collector.end();
	fs.rmSync(folder, { recursive: true });
});
after(() => setTimeout(() => process.exit(), 100).unref());

async function startCollector() {
	collector = start("taffrail-collector", "--listen", address, "--data", `${folder}/data`, "--output", `ecs-json:${folder}/out`);
	assert.equal(await collector.ready(), address);
}

/** A connection that has said hello: its answers, and the stream. */
async function sensor(epoch, stored = "0") {
	const client = new proto.Collector(address, grpc.credentials.createInsecure());
	clients.push(client);
	const stream = client.Stream(), downs = [];
	const session = { stream, downs, status: new Promise(done => stream.on("status", done)) };
	stream.on("error", () => {});
	stream.on("data", down => downs.push(down));
	stream.write({ hello: { host, epoch, version: "node" } });
	await until(() => downs.length > 0);
	assert.equal(downs[0].message, "hello");
	assert.equal(downs[0].hello.stored, stored);
	session.acked = () => downs.filter(down => down.message === "ack").map(down => down.ack.sequence).at(-1);
	return session;
}

/** Sequences first to last, each an exec of a process that travels in the same batch. */
function batch(epoch, first, last) {
	const record = [
		{ container: { id: containerId, name: "main", imageName: "registry.example/web", podName: "web-1", podNamespace: "shop", podUid: "u-1", label: [{ key: "app", value: "web" }] } },
		{ process: { entity, execCounter: 1, pid: 42, vpid: 1, startNs: "1767323045000000000", name: Buffer.from("sh"), executable: Buffer.from("/bin/sh"),
			args: Buffer.from("sh\0-c\0\xff\n\0", "latin1"), argsCount: 3, loginUid: 4294967295, sessionId: 4294967295, fdTypes: Buffer.alloc(3), imageKnown: true, containerId } },
	];
	for (let sequence = first; sequence <= last; sequence++)
		record.push({ event: { sequence, timeNs: "1767323045123456789", action: "ACTION_EXEC", process: { entity, execCounter: 1 }, containerId, count: 1, ring: 0, cpu: 1, ringSequence: sequence } });
	return { batch: { host, epoch, first, last, record } };
}

test("a Node sensor's batches are acknowledged, stored and filed with their names", async () => {
	const epoch = randomBytes(16), { stream, acked } = await sensor(epoch);
	stream.write(batch(epoch, 1, 3));
	stream.write(batch(epoch, 4, 4));
	await until(() => acked() === "4");
	stream.end();
	const filed = await until(() => documents(`${folder}/out`).length === 4 && documents(`${folder}/out`));
	assert.deepEqual(filed.map(document => document.event.sequence), [1, 2, 3, 4]);
	const [document] = filed;
	assert.equal(document.event.action, "exec");
	assert.equal(document.event.id, `${host.id}-${epoch.toString("hex")}-1`);
	assert.equal(document["@timestamp"], "2026-01-02T03:04:05.123456789Z");
	assert.equal(document.container.id, containerId.toString("hex"));
	assert.equal(document.orchestrator.resource.name, "web-1");
	assert.equal(document.orchestrator.namespace, "shop");
	assert.deepEqual(document.kubernetes.labels, { app: "web" });
	assert.deepEqual(document.process.args, ["sh", "-c", "\\xff\n"]);
	assert.deepEqual(document.taffrail.escaped, ["process.args", "process.command_line"]);
});

test("what is sent twice is filed once, and a new connection is told where to go on", async () => {
	const epoch = randomBytes(16), first = await sensor(epoch);
	first.stream.write(batch(epoch, 1, 5));
	await until(() => first.acked() === "5");
	first.stream.cancel();
	const second = await sensor(epoch, "5");
	second.stream.write(batch(epoch, 1, 5));
	second.stream.write(batch(epoch, 6, 6));
	await until(() => second.acked() === "6");
	await until(() => documents(`${folder}/out`).length >= 6);
	assert.deepEqual(documents(`${folder}/out`).map(document => document.event.sequence), [1, 2, 3, 4, 5, 6]);
});

test("what was acknowledged outlives kill -9 of the collector", async () => {
	const epoch = randomBytes(16), first = await sensor(epoch);
	first.stream.write(batch(epoch, 1, 7));
	await until(() => first.acked() === "7");
	assert.equal(await collector.end("SIGKILL"), "SIGKILL");
	await startCollector();
	await sensor(epoch, "7");
	await sensor(randomBytes(16), "0");
});

test("a sensor that does not say hello, or sends no batch of its own, is refused", async () => {
	const client = new proto.Collector(address, grpc.credentials.createInsecure());
	clients.push(client);
	const stream = client.Stream(), status = new Promise(done => stream.on("status", done));
	stream.on("error", () => {});
	stream.on("data", () => {});
	stream.write(batch(randomBytes(16), 1, 1));
	assert.equal((await status).code, grpc.status.INVALID_ARGUMENT);

	const epoch = randomBytes(16), other = await sensor(epoch);
	other.stream.write(batch(randomBytes(16), 1, 1));
	assert.equal((await other.status).code, grpc.status.INVALID_ARGUMENT);

	const broken = await sensor(epoch), bad = batch(epoch, 1, 1);
	bad.batch.record[2].event.process.execCounter = 99; // refers to nothing
	broken.stream.write(bad);
	const { code, details } = await broken.status;
	assert.equal(code, grpc.status.INVALID_ARGUMENT);
	assert.match(details, /process/);
	assert.deepEqual(documents(`${folder}/out`), []);
});

test("Query.Watch streams what matches, as batches that stand alone", async () => {
	const client = new proto.Query(address, grpc.credentials.createInsecure());
	clients.push(client);
	const watch = filter => {
		const seen = [], call = client.Watch(filter);
		call.on("error", () => {});
		call.on("data", response => seen.push(response));
		return { seen, status: new Promise(done => call.on("status", done)), call };
	};
	const all = watch({}), shop = watch({ namespace: ["shop"], action: ["exec", "open"] }), none = watch({ pod: ["web-2"] });
	const wrong = watch({ action: ["nonsense"] });
	const { code, details } = await wrong.status;
	assert.equal(code, grpc.status.INVALID_ARGUMENT);
	assert.match(details, /nonsense/);
	const epoch = randomBytes(16), { stream, acked } = await sensor(epoch);
	stream.write(batch(epoch, 1, 2));
	await until(() => acked() === "2");
	const events = ({ seen }) => seen.flatMap(response => response.batch.record).filter(record => record.record === "event");
	await until(() => events(all).length === 2 && events(shop).length === 2);
	assert.equal(none.seen.length, 0);
	const records = shop.seen[0].batch.record.map(record => record.record);
	assert.deepEqual(records.slice(0, 2).sort(), ["container", "process"]);
	assert.equal(shop.seen[0].passedOver, "0");
	[all, shop, none].forEach(one => one.call.cancel());
});
