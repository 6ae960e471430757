// SPDX-License-Identifier: Apache-2.0
// What the interoperability tests share: the .proto files as grpc-js loads them, our programs, a cgroup named like a container's.
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const bin = process.env.TAFFRAIL_BIN ?? path.join(root, "build/bin");

export const proto = grpc.loadPackageDefinition(loader.loadSync("taffrail/v1/stream.proto", {
	includeDirs: [path.join(root, "proto")], longs: String, enums: String, defaults: true, oneofs: true,
})).taffrail.v1;

export const temporary = () => fs.mkdtempSync(path.join(os.tmpdir(), "taffrail-interop-"));

/** Until what() gives something; fails after `seconds`. */
export async function until(what, seconds = 10, why = () => "") {
	for (const end = Date.now() + seconds * 1000; ;) {
		const value = await what();
		if (value) return value;
		if (Date.now() > end) throw new Error(`waited ${seconds} s for ${what}\n${why()}`);
		await new Promise(done => setTimeout(done, 20));
	}
}

/** One of our programs; `ready` resolves to what follows "NAME: ready". */
export function start(name, ...args) {
	// What a killed sensor leaves pinned is of no concern to the next one here.
	if (name === "taffrail-sensor") args = ["--set", "host.bpffs=none", ...args];
	const child = spawn(path.join(bin, name), args, { stdio: ["ignore", "pipe", "pipe"] });
	const running = { child, log: "", output: "", ended: new Promise(done => child.on("exit", (code, signal) => done(code ?? signal))) };
	child.stderr.on("data", data => { running.log += data; });
	child.stdout.on("data", data => { running.output += data; });
	running.ready = () => until(() => {
		if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}:\n${running.log}`);
		return running.log.match(new RegExp(`^${name}: ready ?(.*)$`, "m"));
	}, 60, () => running.log).then(match => match[1]);
	running.end = (signal = "SIGTERM") => { child.kill(signal); return running.ended; };
	return running;
}

/** A cgroup with a container's name. */
export function container() {
	const mount = fs.readFileSync("/proc/self/mounts", "utf8").split("\n").map(line => line.split(" ")).find(field => field[2] === "cgroup2")[1];
	const parent = path.join(mount, `taffrail-interop-${process.pid}`), id = randomBytes(32).toString("hex");
	const folder = path.join(parent, id);
	fs.mkdirSync(folder, { recursive: true });
	return {
		id,
		run: (...command) => new Promise((done, fail) => {
			const child = spawn("/bin/sh", ["-c", `echo 0 > ${folder}/cgroup.procs && exec "$@"`, "sh", ...command], { stdio: "ignore" });
			child.on("error", fail);
			child.on("exit", done);
		}),
		remove: () => until(() => {
			for (const pid of fs.readFileSync(path.join(folder, "cgroup.procs"), "utf8").split("\n").filter(Boolean))
				process.kill(Number(pid), "SIGKILL");
			try { fs.rmdirSync(folder); } catch { return false; }
			try { fs.rmdirSync(parent); } catch { /* another one is still there */ }
			return true;
		}),
	};
}

/** The documents of a file of ECS JSON lines. */
export const documents = file => fs.existsSync(file) ? fs.readFileSync(file, "utf8").split("\n").filter(Boolean).map(JSON.parse) : [];
