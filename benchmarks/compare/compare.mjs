// Compares whole engines: every engine in turn on the same GGUF files with the same number of threads, each run a process of its own, round by
// round; the machine's ceilings are measured in the same run. Prints tables and writes JSON. Without arguments it tells its options.
import {createReadStream, readFileSync, writeFileSync} from "node:fs";
import {cpus, totalmem} from "node:os";
import {basename} from "node:path";
import {buildCeilings, measureCeilings, merge} from "./lib/ceilings.mjs";
import {chooseEngines} from "./lib/engines.mjs";
import {readOptions, UsageError} from "./lib/options.mjs";
import {runsOf} from "./lib/scenarios.mjs";
import {shapeOf} from "./lib/shape.mjs";
import {ceilingTable, evaluate, tables} from "./lib/table.mjs";

const say = (text) => process.stderr.write(`${text}\n`);

/** Puts a file into the page cache. */
async function warm(file) {
    for await (const piece of createReadStream(file, {highWaterMark: 1 << 22}))
        void piece;
}

function mergeFiles(files) {
    const rows = [];
    for (const file of files) {
        const report = JSON.parse(readFileSync(file, "utf8"));
        process.stdout.write(`\n${basename(file)}: ${report.machine.processor}, ${report.date}, missing: ${missingText(report.missing)}\n`);
        if (report.ceilings)
            process.stdout.write(ceilingTable(report.ceilings));
        rows.push(...evaluate(report));
    }
    process.stdout.write(tables(rows));
}

const missingText = (missing) => missing.length === 0 ? "nothing" : missing.map((m) => `${m.what} (${m.reason})`).join("; ");

async function compare(options) {
    const missing = [];
    const lacks = (what, error) => {
        if (!missing.some((m) => m.what === what && m.reason === error.message)) {
            missing.push({what, reason: error.message});
            say(`${what} is missing: ${error.message}`);
        }
    };
    const engines = [];
    for (const engine of chooseEngines(options.engines)) {
        say(`${engine.name}: getting ready`);
        try {
            await engine.prepare();
            engines.push(engine);
        } catch (e) {
            lacks(engine.name, e);
        }
    }
    let ceilings;
    const measure = async () => {
        try {
            ceilings = merge(ceilings, await measureCeilings(options.threads));
        } catch (e) {
            lacks("ceilings", e);
        }
    };
    try {
        await buildCeilings();
        await measure();
    } catch (e) {
        lacks("ceilings", e);
    }

    const report = {
        date: new Date().toISOString(),
        machine: {processor: cpus()[0].model, cores: cpus().length, memory: totalmem(), node: process.version},
        options, missing, shapes: {}, results: []
    };
    const save = () => {
        report.ceilings = ceilings;
        if (options.json)
            writeFileSync(options.json, JSON.stringify(report, null, 2) + "\n");
    };
    for (const model of options.files) {
        const name = basename(model);
        await warm(model);
        try {
            report.shapes[name] = await shapeOf(model);
        } catch (e) {
            lacks(`fractions of ${name}`, e);
        }
        for (let round = 1; round <= options.rounds; round++) {
            for (const scenario of options.scenarios) {
                for (const run of runsOf(scenario, options)) {
                    for (const engine of engines.filter((e) => e.scenarios.includes(scenario))) {
                        say(`${name}: round ${round} of ${options.rounds}, ${run.name}, ${engine.name}`);
                        try {
                            record(report.results, {scenario, run: run.name, model: name, engine: engine.name, isa: engine.isa, reference: engine.reference},
                                await run.figures(engine, model));
                        } catch (e) {
                            lacks(`${engine.name} in ${scenario} of ${name}`, e);
                        }
                    }
                }
            }
            if (ceilings)
                await measure();
            save();
        }
    }
    save();
    if (ceilings)
        process.stdout.write(ceilingTable(ceilings));
    process.stdout.write(tables(evaluate(report)));
    process.stdout.write(`\nMissing: ${missingText(missing)}\n`);
    return report.results.length > 0;
}

/** Adds a sample to the row of its kind. */
function record(results, kind, sample) {
    let row = results.find((r) => ["scenario", "run", "model", "engine"].every((key) => r[key] === kind[key]));
    if (row === undefined) {
        row = {...kind, samples: []};
        results.push(row);
    }
    row.samples.push(sample);
}

try {
    const options = readOptions();
    if (options.merge)
        mergeFiles(options.files);
    else if (!await compare(options))
        process.exitCode = 1;
} catch (e) {
    say(e instanceof UsageError ? e.message : `compare: ${e.stack}`);
    process.exitCode = e instanceof UsageError ? 2 : 1;
}
