// SPDX-License-Identifier: Apache-2.0
// Over mutual TLS: a Node sensor and a Node reader against our collector, our sensor against a Node collector.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import grpc from "@grpc/grpc-js";
import { container, documents, proto, root, start, temporary, until } from "./lab.mjs";

const papers = temporary();
let folder, running, clients, server;

before(() => { execFileSync(path.join(root, "scripts/make-test-ca"), ["--certificate", "stranger=stranger.example", papers]); });
beforeEach(() => {
	folder = temporary();
	running = [];
	clients = [];
});
afterEach(async () => {
	clients.forEach(client => client.close());
	server?.forceShutdown();
	server = undefined;
	for (const one of running) await one.end();
	fs.rmSync(folder, { recursive: true });
});
after(() => {
	fs.rmSync(papers, { recursive: true });
	setTimeout(() => process.exit(), 100).unref();
});

const file = name => path.join(papers, name);
const options = name => ["--tls-ca", file("ca.pem"), "--tls-cert", file(`${name}.pem`), "--tls-key", file(`${name}.key`)];
const credentials = name => grpc.credentials.createSsl(fs.readFileSync(file("ca.pem")), fs.readFileSync(file(`${name}.key`)), fs.readFileSync(file(`${name}.pem`)));

async function collect() {
	const collector = start("taffrail-collector", "--listen", "127.0.0.1:0", "--data", `${folder}/data`, "--output", `ecs-json:${folder}/out`,
		...options("collector"), "--allow", "sensor.*", "--allow-reader", "reader.taffrail");
	running.push(collector);
	return { collector, address: await collector.ready() };
}

function client(Service, address, name) {
	const made = new Service(address, credentials(name));
	clients.push(made);
	return made;
}

function call(stream) {
	const seen = [], made = { stream, seen, status: new Promise(done => stream.on("status", done)) };
	stream.on("error", () => {});
	stream.on("data", message => seen.push(message));
	return made;
}

const host = { id: "node-sensor", name: "node-1" };
const batch = (epoch, first, last) => ({ batch: { host, epoch, first, last, record: Array.from({ length: last - first + 1 },
	(_, at) => ({ event: { sequence: first + at, timeNs: "1767323045123456789", action: "ACTION_EXEC", count: 1 } })) } });

test("a Node sensor streams and a Node reader watches, each by its certificate", async () => {
	const { address } = await collect(), epoch = randomBytes(16);
	const reader = call(client(proto.Query, address, "reader").Watch({}));
	const { stream, seen, status } = call(client(proto.Collector, address, "sensor").Stream());
	stream.write({ hello: { host, epoch, version: "node" } });
	await until(() => seen[0]?.message === "hello");
	stream.write(batch(epoch, 1, 500));
	stream.write(batch(epoch, 501, 502));
	await until(() => seen.at(-1)?.ack?.sequence === "502");
	stream.end();
	assert.equal((await status).code, grpc.status.OK);
	await until(() => documents(`${folder}/out`).length === 502);
	await until(() => reader.seen.flatMap(response => response.batch?.record ?? []).filter(record => record.event).length === 502);
	assert.equal(fs.readFileSync(`${folder}/data/owners`, "utf8"), "sensor.taffrail node-sensor\n");
});

test("what a certificate does not allow a Node client is told", async () => {
	const { address, collector } = await collect();
	for (const [Service, name, method, word] of [[proto.Collector, "reader", "Stream", "--allow"], [proto.Collector, "stranger", "Stream", "--allow"], [proto.Query, "sensor", "Watch", "--allow-reader"]]) {
		const { code, details } = await call(client(Service, address, name)[method]({})).status;
		assert.equal(code, grpc.status.PERMISSION_DENIED);
		assert.match(details, new RegExp(word));
	}
	const nameless = new proto.Query(address, grpc.credentials.createSsl(fs.readFileSync(file("ca.pem"))));
	clients.push(nameless);
	// TLS 1.3 lets a client begin before it is refused, and then the words are Node's.
	assert.ok([grpc.status.UNAVAILABLE, grpc.status.INTERNAL].includes((await call(nameless.Watch({})).status).code));
	await until(() => /127\.0\.0\.1:\d+: it shows no certificate/.test(collector.log));
});

/** A collector of Node's that wants certificates; `onUp` as in sensor.test.mjs. */
async function serve(onUp, name = "collector") {
	const sessions = [];
	server = new grpc.Server();
	server.addService(proto.Collector.service, {
		Stream(stream) {
			const session = { ups: [], peer: stream.getPeer() };
			sessions.push(session);
			stream.on("error", () => {});
			stream.on("end", () => stream.end());
			stream.on("data", up => { session.ups.push(up); onUp(stream, up); });
		},
	});
	const own = grpc.ServerCredentials.createSsl(fs.readFileSync(file("ca.pem")), [{ private_key: fs.readFileSync(file(`${name}.key`)), cert_chain: fs.readFileSync(file(`${name}.pem`)) }], true);
	const port = await new Promise((done, fail) => server.bindAsync("127.0.0.1:0", own, (error, bound) => error ? fail(error) : done(bound)));
	return { sessions, address: `127.0.0.1:${port}` };
}

const acknowledge = (stream, up) => stream.write(up.message === "hello" ? { hello: { version: "node", stored: 0 } } : { ack: { sequence: up.batch.last } });

test("our sensor streams to a Node collector that wants its certificate", async () => {
	const { sessions, address } = await serve(acknowledge), box = container();
	try {
		const sensor = start("taffrail-sensor", "--no-rules", "--collector", address, ...options("sensor"));
		running.push(sensor);
		await sensor.ready();
		for (let i = 0; i < 10; i++) await box.run("/bin/true");
		await until(() => sessions.flatMap(session => session.ups).filter(up => up.message === "batch").flatMap(up => up.batch.record)
			.filter(record => record.event?.action === "ACTION_EXEC" && record.event.containerId.toString("hex") === box.id).length >= 10);
		assert.equal(await sensor.end(), 0);
		assert.equal(sessions.length, 1);
		assert.doesNotMatch(sensor.log, /warning/);
	} finally {
		await box.remove();
	}
});

test("our sensor sends nothing to a Node collector whose certificate is for another name", async () => {
	const { sessions, address } = await serve(acknowledge, "stranger");
	const sensor = start("taffrail-sensor", "--no-rules", "--collector", address, ...options("sensor"));
	running.push(sensor);
	await sensor.ready();
	await until(() => /its certificate is refused: IP address mismatch/.test(sensor.log));
	assert.equal(sessions.length, 0);
	const named = start("taffrail-sensor", "--no-rules", "--collector", address, ...options("sensor"), "--set", "tls.name=stranger.example");
	running.push(named);
	await until(() => sessions.length === 1 && sessions[0].ups.length > 0);
});
