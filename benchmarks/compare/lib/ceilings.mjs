// The machine's ceilings, measured by the program beside the kernels' own benchmark.
import {join} from "node:path";
import {lastJson, run} from "./child.mjs";
import {root, target} from "./paths.mjs";

const build = join(target, "ceilings");

/** Builds the program; fails where there is no CMake or no compiler. */
export async function buildCeilings() {
    await run("cmake", ["-S", join(root, "qwen-native/src/main/cpp"), "-B", build, "-DQW_TESTS=ON"]);
    await run("cmake", ["--build", build, "--target", "ceilings"]);
}

/** The classes that the machine can run, the best one last. */
export async function measureCeilings(threads) {
    const {out} = await run(join(build, "test/ceilings"), ["-j", String(threads)]);
    return lastJson(out.replaceAll("\n", " ")).classes;
}

/** The best of repeated measurements. */
export function merge(a, b) {
    return a === undefined ? b : a.map((one, i) => ({
        ...one,
        measured: one.measured.map((m, j) => Object.fromEntries(Object.entries(m).map(([k, v]) => [k, Math.max(v, b[i].measured[j][k])])))
    }));
}

/** The ceilings of one instruction set with a number of threads; bandwidth is the best any class reads. */
export function ceilingOf(classes, name, threads) {
    const at = (one) => one.measured.find((m) => m.threads === threads);
    const own = classes.find((one) => one.name === name) ?? classes.at(-1);
    return {
        read: Math.max(...classes.map((one) => at(one).read_gb_per_second)),
        dot: at(own).dot_gmac_per_second,
        fma: at(own).fma_gmac_per_second
    };
}
