// Medians, fractions of the ceilings and ratios of what was measured, and the tables that show them.
import {ceilingOf} from "./ceilings.mjs";
import {decodeBytes, kvBytes, prefillMacs} from "./shape.mjs";

const median = (list) => {
    const sorted = list.toSorted((a, b) => a - b), half = sorted.length >> 1;
    return sorted.length % 2 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
};

/** The instruction set that an engine used: what it was held to, what it says, or the machine's best. */
const isaOf = (row) => row.isa ?? /\b(vnni|avx512|avx2|baseline)\b/.exec(row.samples[0].backend?.replace("avx512vnni", "vnni"))?.[1];

/** Adds to each row its statistics, its ratios to the other rows and its fractions of the ceilings. */
export function evaluate({results, ceilings, shapes, options}) {
    return results.map((row) => {
        const figures = {};
        for (const name of new Set(row.samples.flatMap(Object.keys))) {
            const list = row.samples.map((sample) => sample[name]).filter((v) => typeof v === "number");
            if (list.length > 0 && !["repetitions", "parameters"].includes(name))
                figures[name] = {median: median(list), min: Math.min(...list), max: Math.max(...list)};
        }
        const work = row.samples[0].work, shape = shapes[row.model], used = row.options ?? options;
        const ceiling = ceilings && ceilingOf(ceilings, isaOf(row), used.threads);
        const fractions = {};
        const decode = figures.decode_tokens_per_second?.median, prefill = figures.prefill_tokens_per_second?.median;
        if (ceiling && shape && work && row.engine !== "jlama") {
            if (decode !== undefined && work.sequences === 1)
                fractions.decode = decode * decodeBytes(shape, work) / 1e9 / ceiling.read;
            if (prefill !== undefined)
                fractions.prefill = prefill * prefillMacs(shape, work) / 1e9 / (shape.float ? ceiling.fma : ceiling.dot);
            const longest = work.sequences * (Math.max(1, work.depth) + Math.max(work.prompt, work.generate));
            fractions.memory = figures.peak_rss_bytes?.median / (1.1 * shape.fileBytes + kvBytes(shape, longest) + 200e6);
        }
        return {...row, figures, fractions};
    }).map((row, i, all) => {
        const reference = all.find((r) => r.engine === row.reference && r.model === row.model && r.run === row.run);
        const of = (name) => reference && row.figures[name] && reference.figures[name] && reference.figures[name].median / row.figures[name].median;
        const before = all.find((r) => r.engine === row.engine && r.model === row.model && r.scenario === row.scenario);
        return {
            ...row,
            ratios: row.engine.startsWith("qwen4j") ? {} : {
                prefill: of("prefill_tokens_per_second"), decode: of("decode_tokens_per_second"),
                first_token: 1 / of("start_to_first_token_seconds")
            },
            toFirstRun: before === row || !row.figures.decode_tokens_per_second ? undefined
                : row.figures.decode_tokens_per_second.median / before.figures.decode_tokens_per_second.median
        };
    });
}

const number = (digits) => (v) => Number.isFinite(v) ? v.toFixed(digits) : "-";
const range = (figure, digits, factor = 1) => figure === undefined ? "-"
    : figure.min === figure.max ? number(digits)(figure.median * factor)
        : `${number(digits)(figure.median * factor)} (${number(digits)(figure.min * factor)} to ${number(digits)(figure.max * factor)})`;
const percent = (v) => Number.isFinite(v) ? `${(100 * v).toFixed(0)} %` : "-";
const times = (v) => Number.isFinite(v) ? `${v.toFixed(2)}x` : "-";

const COLUMNS = {
    "speed": [
        ["prefill tokens/s", (r) => range(r.figures.prefill_tokens_per_second, 1)], ["of peak", (r) => percent(r.fractions.prefill)],
        ["ours to it", (r) => times(r.ratios.prefill)],
        ["decode tokens/s", (r) => range(r.figures.decode_tokens_per_second, 1)], ["of bandwidth", (r) => percent(r.fractions.decode)],
        ["ours to it", (r) => times(r.ratios.decode)],
        ["load s", (r) => range(r.figures.load_seconds, 2)], ["peak MB", (r) => range(r.figures.peak_rss_bytes, 0, 1e-6)],
        ["of 1.1 weights + KV + 200 MB", (r) => percent(r.fractions.memory)]],
    "first-token": [
        ["process start to first token s", (r) => range(r.figures.start_to_first_token_seconds, 2)], ["it to ours", (r) => times(r.ratios.first_token)]],
    "sequences": [
        ["tokens/s, all together", (r) => range(r.figures.decode_tokens_per_second, 1)], ["of one sequence", (r) => times(r.toFirstRun)],
        ["ours to it", (r) => times(r.ratios.decode)]],
    "busy": [
        ["decode tokens/s", (r) => range(r.figures.decode_tokens_per_second, 1)], ["of idle", (r) => percent(r.toFirstRun)],
        ["median step ms", (r) => range(r.figures.decode_step_seconds, 2, 1e3)],
        ["slowest step ms", (r) => range(r.figures.decode_slowest_step_seconds, 2, 1e3)],
        ["slowest to median", (r) => times(r.figures.decode_slowest_step_seconds?.max / r.figures.decode_step_seconds?.median)]]
};

export function tables(rows) {
    let text = "";
    for (const [scenario, columns] of Object.entries(COLUMNS)) {
        const own = rows.filter((row) => row.scenario === scenario);
        if (own.length === 0)
            continue;
        const header = ["model", "run", "engine", ...columns.map(([name]) => name)];
        text += `\n| ${header.join(" | ")} |\n|${"---|".repeat(header.length)}\n`;
        for (const row of own) {
            const work = row.samples[0].work;
            const run = work === undefined ? row.run : `${row.run}, depth ${work.depth}`;
            const library = /^node-llama-cpp, (\w+)/.exec(row.samples[0].backend)?.[1];
            const engine = library === undefined ? row.engine : `${row.engine} (${library})`;
            text += `| ${[row.model, run, engine, ...columns.map(([, cell]) => cell(row))].join(" | ")} |\n`;
        }
    }
    return text;
}

export function ceilingTable(classes) {
    let text = "\n| ceiling | threads | read GB/s | integer GMAC/s | FMA GMAC/s |\n|---|---|---|---|---|\n";
    for (const one of classes) {
        for (const m of one.measured)
            text += `| ${one.name}: ${one.dot}, ${one.fma} | ${m.threads} | ${m.read_gb_per_second} | ${m.dot_gmac_per_second} | ${m.fma_gmac_per_second} |\n`;
    }
    return text;
}
