// llama.cpp as node-llama-cpp ships it, and a second installation of it that has no kernels beyond AVX2.
import {cpSync, existsSync, linkSync, mkdirSync, readdirSync, renameSync, rmSync} from "node:fs";
import {join} from "node:path";
import {run} from "./child.mjs";
import {here, target} from "./paths.mjs";

export async function fetchLlama() {
    if (!existsSync(join(here, "node_modules/node-llama-cpp")))
        await run("npm", ["install", "--no-audit", "--no-fund"], {cwd: here});
}

/** Libraries that a processor with AVX-512 or AVX-VNNI would rather take; what is left for it is the one for AVX2 (haswell). */
const BEYOND_AVX2 = /^libggml-cpu-(alderlake|cannonlake|cascadelake|cooperlake|icelake|sapphirerapids|skylakex|zen4)\.so$/;

/** The directory of the installation without them. Files are linked, not copied; only what this platform loads is taken. */
export function llamaAvx2() {
    const directory = join(target, "llama-avx2");
    if (!existsSync(directory)) {
        const made = `${directory}.${process.pid}`;
        rmSync(made, {recursive: true, force: true});
        linkTree(join(here, "node_modules"), join(made, "node_modules"));
        cpSync(join(here, "package.json"), join(made, "package.json"));
        cpSync(join(here, "peers/llama.mjs"), join(made, "peers/llama.mjs"));
        if (!existsSync(join(made, "node_modules/@node-llama-cpp/linux-x64/bins/linux-x64/libggml-cpu-haswell.so")))
            throw new Error("node-llama-cpp has no library for AVX2 alone on this platform");
        renameSync(made, directory);
    }
    // The script may have changed since.
    cpSync(join(here, "peers/llama.mjs"), join(directory, "peers/llama.mjs"));
    return directory;
}

function linkTree(from, to) {
    mkdirSync(to, {recursive: true});
    for (const entry of readdirSync(from, {withFileTypes: true})) {
        const source = join(from, entry.name), place = join(to, entry.name);
        if (entry.isDirectory()) {
            if (!/^linux-x64-|^linux-arm|^(mac|win)-/.test(entry.name))
                linkTree(source, place);
        } else if (entry.isFile() && !BEYOND_AVX2.test(entry.name)) {
            linkSync(source, place);
        }
    }
}
