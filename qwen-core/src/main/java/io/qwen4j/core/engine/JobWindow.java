package io.qwen4j.core.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Runs jobs of one caller, some at a time, so that thousands of them do not stand in the way of other requests. */
final class JobWindow {
    private JobWindow() {}

    /**
     * Runs a job for each input and waits for all of them. If one fails or the caller is interrupted, the others are stopped.
     *
     * @param atOnce most jobs in the engine at a time
     * @return the results in order
     */
    static <T, R> List<R> run(Engine engine, List<T> inputs, int atOnce, Function<T, Job<R>> maker) {
        List<Job<R>> jobs = new ArrayList<>(inputs.size());
        List<R> results = new ArrayList<>(inputs.size());
        try {
            for (T input : inputs) {
                jobs.add(engine.run(maker.apply(input)));
                if (jobs.size() - results.size() >= atOnce) {
                    results.add(jobs.get(results.size()).await(engine::stop));
                }
            }
            while (results.size() < jobs.size()) {
                results.add(jobs.get(results.size()).await(engine::stop));
            }
            return results;
        } finally {
            jobs.subList(results.size(), jobs.size()).forEach(engine::stop);
        }
    }
}
