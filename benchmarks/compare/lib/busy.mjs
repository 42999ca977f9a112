// A process that keeps one core busy.
import {readFileSync} from "node:fs";
import {background} from "./child.mjs";

/** The last core this process may use. */
function lastCore() {
    const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync("/proc/self/status", "utf8"))[1];
    return list.split(/[,-]/).at(-1);
}

/** Runs `body` while a loop spins on the last core. */
export async function whileBusy(body) {
    const stop = await background("taskset", ["-c", lastCore(), "sh", "-c", "while :; do :; done"]);
    let result;
    try {
        result = await body();
    } finally {
        await stop();
    }
    return result;
}
