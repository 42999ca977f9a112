// Runs the JMH benchmarks of the kernels between two measurements of the machine's ceilings and prints both side by side.
// usage: node kernels.mjs [--threads N] [--json FILE] [-- JMH-ARGUMENTS...]     e.g. -- LinearBenchmark -p type=Q4_0,Q8_0 -p tokens=1,512
import {mkdirSync, readFileSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {parseArgs} from "node:util";
import {buildCeilings, ceilingOf, measureCeilings, merge} from "./lib/ceilings.mjs";
import {run} from "./lib/child.mjs";
import {root, target} from "./lib/paths.mjs";
import {ceilingTable} from "./lib/table.mjs";

const {values, positionals} = parseArgs({
    allowPositionals: true,
    options: {threads: {type: "string", default: "1"}, json: {type: "string"}}
});
const threads = Number(values.threads);
const chosen = positionals.length > 0 ? positionals : ["(Linear|Attention|Layer)Benchmark"];

await buildCeilings();
await run("mvn", ["-B", "-q", "-Pbenchmarks", "-pl", "benchmarks", "-am", "package", "-DskipTests"], {cwd: root});
const jar = join(root, "benchmarks/target/benchmarks.jar");
const before = await measureCeilings(threads);
mkdirSync(target, {recursive: true});
const results = join(target, "kernels.json");
await run("java", ["-jar", jar, ...chosen, "-rf", "json", "-rff", results, "-jvmArgsAppend", `-Dqwen4j.threads=${threads}`], {limit: 7200});
const ceilings = merge(before, await measureCeilings(threads));
const peak = ceilingOf(ceilings, ceilings.at(-1).name, threads);

const percent = (v) => `${(100 * v).toFixed(0)} %`;
const rows = JSON.parse(readFileSync(results, "utf8")).filter((r) => r.secondaryMetrics.gmacs !== undefined).map((r) => {
    const gigabytes = r.secondaryMetrics.gigabytes.score, gmacs = r.secondaryMetrics.gmacs.score, type = r.params?.type;
    const integer = type !== undefined && !["F32", "F16", "BF16"].includes(type);
    return {
        kernel: r.benchmark.split(".").at(-1), parameters: Object.values(r.params ?? {}).join(", "), gigabytes, gmacs,
        ofRead: gigabytes / peak.read, ofPeak: gmacs / (integer ? peak.dot : peak.fma), against: integer ? "integer" : "FMA"
    };
});
console.log(ceilingTable(ceilings));
console.log("| kernel | parameters | GB/s | of read | GMAC/s | of peak |\n|---|---|---|---|---|---|");
for (const r of rows)
    console.log(`| ${r.kernel} | ${r.parameters} | ${r.gigabytes.toFixed(2)} | ${percent(r.ofRead)} | ${r.gmacs.toFixed(1)} | ${percent(r.ofPeak)} of ${r.against} |`);
if (values.json)
    writeFileSync(values.json, JSON.stringify({date: new Date().toISOString(), threads, ceilings, rows}, null, 2) + "\n");
