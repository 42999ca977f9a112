// What each scenario runs with an engine: named runs, each of which gives figures.
import {whileBusy} from "./busy.mjs";

export function runsOf(scenario, options) {
    const {prompt, generate, depth, sequences} = options;
    const speed = {prompt, generate, depth, sequences: 1};
    const decode = {...speed, prompt: 0};
    const bench = (work) => async (engine, model) => ({...await engine.figures(model, work, options), work});
    switch (scenario) {
        case "speed":
            return [{name: "speed", figures: bench(speed)}];
        case "first-token":
            return [{
                name: "first token",
                figures: async (engine, model) => {
                    const {firstOutput} = await engine.firstToken(model, options);
                    if (firstOutput === undefined)
                        throw new Error("it printed nothing");
                    return {start_to_first_token_seconds: firstOutput};
                }
            }];
        case "sequences":
            return [{name: "1 sequence", figures: bench(decode)}, {name: `${sequences} sequences`, figures: bench({...decode, sequences})}];
        case "busy":
            return [{name: "idle", figures: bench(decode)}, {name: "busy", figures: (engine, model) => whileBusy(() => bench(decode)(engine, model))}];
        default:
            throw new Error(`no scenario ${scenario}`);
    }
}
