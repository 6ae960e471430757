// SPDX-License-Identifier: Apache-2.0
// Our sensor against a collector written with grpc-js.
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, afterEach, beforeEach, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { container, proto, start, temporary, until } from "./lab.mjs";

let folder, address, sensor, box, server;

beforeEach(() => {
	folder = temporary();
	address = `unix:${folder}/s`;
	box = container();
});
afterEach(async () => {
	await sensor?.end();
	server?.forceShutdown();
	await box.remove();
	fs.rmSync(folder, { recursive: true });
});
after(() => setTimeout(() => process.exit(), 100).unref());

/** Serves Collector.Stream; `onUp(stream, up, session)` gets every message. */
async function collect(onUp) {
	const sessions = [];
	server = new grpc.Server();
	server.addService(proto.Collector.service, {
		Stream(stream) {
			const session = { ups: [], ended: false };
			sessions.push(session);
			stream.on("error", () => {});
			stream.on("end", () => { session.ended = true; stream.end(); });
			stream.on("data", up => { session.ups.push(up); onUp(stream, up, session); });
		},
	});
	await new Promise((done, fail) => server.bindAsync(address, grpc.ServerCredentials.createInsecure(), error => error ? fail(error) : done()));
	return sessions;
}

const acknowledge = (stream, up) => stream.write(up.message === "hello" ? { hello: { version: "node", stored: 0 } } : { ack: { sequence: up.batch.last } });
const batches = sessions => sessions.flatMap(session => session.ups).filter(up => up.message === "batch").map(up => up.batch);
const execs = sessions => batches(sessions).flatMap(batch => batch.record).filter(record => record.event?.action === "ACTION_EXEC").map(record => record.event);

test("a Node collector reads our sensor's hello and batches, which stand alone", async () => {
	const sessions = await collect(acknowledge);
	sensor = start("taffrail-sensor", "--collector", address);
	await sensor.ready();
	await box.run("/bin/sh", "-c", "/bin/true 'from node'; exit 3");
	await until(() => batches(sessions).flatMap(batch => batch.record).some(record => record.event?.end?.code === 3));
	assert.equal(await sensor.end(), 0);
	const { hello } = sessions[0].ups[0];
	assert.equal(hello.epoch.length, 16);
	assert.ok(hello.host.id && hello.version);
	let due = 1, marked = 0;
	for (const batch of batches(sessions)) {
		assert.deepEqual(batch.epoch, hello.epoch);
		assert.equal(batch.host.id, hello.host.id);
		assert.equal(Number(batch.first), due);
		const images = new Map(), containers = new Set();
		for (const record of batch.record) {
			if (record.record === "container") containers.add(record.container.id.toString("hex"));
			if (record.record === "process") {
				const { entity, execCounter, parent } = record.process;
				if (parent) assert.ok(images.has(`${parent.entity.toString("hex")} ${parent.execCounter}`), "a parent stands before its child");
				images.set(`${entity.toString("hex")} ${execCounter}`, record.process);
			}
			if (record.record !== "event") continue;
			assert.equal(Number(record.event.sequence), due++);
			const { process, containerId, action } = record.event;
			if (process) assert.ok(images.has(`${process.entity.toString("hex")} ${process.execCounter}`));
			if (containerId.length) assert.ok(containers.has(containerId.toString("hex")));
			if (action === "ACTION_EXEC" && containerId.toString("hex") === box.id &&
				images.get(`${process.entity.toString("hex")} ${process.execCounter}`).args.toString() === "/bin/true\0from node\0") marked++;
		}
		assert.equal(Number(batch.last), due - 1);
	}
	assert.equal(marked, 1);
});

test("what was not acknowledged is sent again on the next connection, the same and in order", async () => {
	let refuse = true;
	const sessions = await collect((stream, up) => {
		if (up.message === "hello" || !refuse) acknowledge(stream, up);
		else { refuse = false; stream.emit("error", { code: grpc.status.UNAVAILABLE, details: "gone" }); } // the first batch is lost on the way
	});
	sensor = start("taffrail-sensor", "--collector", address);
	await sensor.ready();
	for (let i = 0; i < 20; i++) await box.run("/bin/true");
	await until(() => sessions.length > 1 && execs(sessions.slice(1)).length >= 20);
	const sequences = batches(sessions.slice(1)).flatMap(batch => batch.record).filter(record => record.event).map(record => Number(record.event.sequence));
	assert.deepEqual(sequences, sequences.map((_, index) => index + 1));
	assert.equal(await sensor.end(), 0);
});

test("a collector that comes late gets everything from the start", async () => {
	sensor = start("taffrail-sensor", "--collector", address);
	await sensor.ready();
	for (let i = 0; i < 10; i++) await box.run("/bin/true");
	const sessions = await collect(acknowledge);
	await until(() => execs(sessions).length >= 10);
	assert.equal(batches(sessions)[0].first, "1");
	assert.equal(await sensor.end(), 0);
});
