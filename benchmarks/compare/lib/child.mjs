// Child processes: their whole output, and how long they took to their first output.
import {spawn} from "node:child_process";
import {performance} from "node:perf_hooks";

const running = new Set();
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]])
    process.on(signal, () => process.exit(status));

/**
 * Runs a command to its end. `noise` is what does not count as output. Fails with the end of standard error if the command fails or takes
 * longer than `limit` seconds.
 */
export function run(command, args, {cwd, noise, limit = 1800} = {}) {
    return new Promise((resolve, reject) => {
        const start = performance.now();
        const child = spawn(command, args, {cwd, stdio: ["ignore", "pipe", "pipe"]});
        running.add(child);
        let out = "", err = "", firstOutput, timedOut = false;
        const timer = setTimeout(() => {
            timedOut = true;
            child.kill("SIGKILL");
        }, limit * 1000);
        child.stdout.setEncoding("utf8").on("data", (text) => {
            out += text;
            if (firstOutput === undefined && (noise ? out.replace(noise, "") : out) !== "")
                firstOutput = (performance.now() - start) / 1000;
        });
        child.stderr.setEncoding("utf8").on("data", (text) => {
            err = (err + text).slice(-4000);
        });
        const end = (error) => {
            clearTimeout(timer);
            running.delete(child);
            if (error)
                reject(error);
            else
                resolve({out, firstOutput});
        };
        child.on("error", end);
        child.on("close", (code, signal) => end(code === 0 ? undefined : new Error(
            timedOut ? `longer than ${limit} s` : `${command} ended with ${signal ?? code}: ${err.trim().split("\n").slice(-3).join(" / ")}`)));
    });
}

/** The last line of the output that is a JSON object: libraries print what they like before it. */
export function lastJson(out) {
    const line = out.trim().split("\n").findLast((l) => l.startsWith("{"));
    if (line === undefined)
        throw new Error("no figures in the output");
    return JSON.parse(line);
}

/** Starts a process that must run until it is stopped; returns the function that stops it. */
export async function background(command, args) {
    const child = spawn(command, args, {stdio: "ignore"});
    running.add(child);
    await new Promise((resolve, reject) => child.once("spawn", resolve).once("error", reject));
    const ended = new Promise((resolve) => child.once("exit", resolve));
    return async () => {
        if (child.exitCode !== null || child.signalCode !== null)
            throw new Error(`${command} ended before it was stopped`);
        child.kill("SIGKILL");
        running.delete(child);
        await ended;
    };
}
