// The command line.
import {parseArgs} from "node:util";

export const SCENARIOS = ["speed", "first-token", "sequences", "busy"];

const usage = `usage: node compare.mjs [OPTIONS] MODEL.gguf...
       node compare.mjs --merge FILE.json...

  --scenarios LIST       of ${SCENARIOS.join(",")} (default speed)
  --engines LIST         of qwen4j,qwen4j-avx2,llama.cpp,llama.cpp-avx2,kherud,jlama (default all that differ on this machine)
  --threads T            compute threads of every engine (default 2)
  --prompt-tokens P      tokens of the measured prefill (default 512)
  --generate-tokens G    tokens of the measured decode (default 64)
  --depth D              tokens in the context before either (default 0)
  --sequences N          sequences at once of the scenario sequences (default 8)
  --rounds R             interleaved rounds (default 3)
  --limit S              seconds that one run may take (default 1800)
  --jlama-directory DIR  a Hugging Face directory of the model's shape for jlama, which reads nothing else
  --json FILE            write all figures
  --merge                print the table of earlier results`;

export class UsageError extends Error {}

export function readOptions() {
    const text = (value) => ({type: "string", default: value});
    let parsed;
    try {
        parsed = parseArgs({
            allowPositionals: true,
            options: {
                "scenarios": text("speed"), "engines": {type: "string"}, "threads": text("2"), "prompt-tokens": text("512"),
                "generate-tokens": text("64"), "depth": text("0"), "sequences": text("8"), "rounds": text("3"), "limit": text("1800"),
                "jlama-directory": {type: "string"}, "json": {type: "string"}, "merge": {type: "boolean", default: false}
            }
        });
    } catch (e) {
        throw new UsageError(`${e.message}\n${usage}`);
    }
    const {values, positionals: files} = parsed;
    if (files.length === 0)
        throw new UsageError(usage);
    const number = (name, least) => {
        const value = Number(values[name]);
        if (!Number.isInteger(value) || value < least)
            throw new UsageError(`--${name} must be a whole number from ${least}, found ${values[name]}`);
        return value;
    };
    const scenarios = values.scenarios.split(",");
    const unknown = scenarios.find((s) => !SCENARIOS.includes(s));
    if (unknown !== undefined)
        throw new UsageError(`--scenarios has ${unknown}, expected some of ${SCENARIOS.join(",")}`);
    return {
        files, scenarios,
        engines: values.engines?.split(","),
        threads: number("threads", 1), prompt: number("prompt-tokens", 1), generate: number("generate-tokens", 1), depth: number("depth", 0),
        sequences: number("sequences", 2), rounds: number("rounds", 1), limit: number("limit", 1),
        jlamaDirectory: values["jlama-directory"], json: values.json, merge: values.merge
    };
}
