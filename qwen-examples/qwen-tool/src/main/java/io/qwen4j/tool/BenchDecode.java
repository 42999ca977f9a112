package io.qwen4j.tool;

import io.qwen4j.Generation;
import io.qwen4j.GenerationEvent;
import io.qwen4j.GenerationOptions;
import io.qwen4j.GenerationRequest;
import io.qwen4j.QwenException;
import io.qwen4j.QwenModel;
import io.qwen4j.SamplingOptions;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Decodes several sequences at once and notes when their readers hear each token. The window that counts opens when the last sequence has
 * its first token, so that no prefill is in it, and closes G steps of that sequence later; the others got more tokens to last that long.
 *
 * @param tokensPerSecond of all sequences together, in the window
 * @param steps seconds between two tokens of one sequence, in the window
 * @param prefill time of the prompt, of the first sequence
 */
record BenchDecode(double tokensPerSecond, Samples steps, Duration prefill) {
    /** Most prompt tokens of a step: what {@link io.qwen4j.LoadOptions#prefillSlice()} is by default. */
    private static final int SLICE = 512;

    private record Heard(long[] times, int count, Duration prefill) {}

    /** Tokens that a sequence may generate: G, one before them, and those that come while later sequences are still at their prompts. */
    static long tokensOfSequence(int sequences, int depth, int generate) {
        long slices = (depth + SLICE - 1L) / SLICE + 1;
        return generate + 1L + (sequences == 1 ? 0 : sequences * slices);
    }

    /** Room in the cache for all sequences, in tokens. */
    static long cacheTokens(int sequences, int depth, int generate) {
        // A running sequence may need the next page: 32 tokens, and as many again for where the last one begins.
        return sequences * (Math.max(1, depth) + tokensOfSequence(sequences, depth, generate) + 64);
    }

    static BenchDecode measure(QwenModel model, BenchCommand.Workload work) {
        int sequences = work.sequences();
        int tokens = Math.toIntExact(tokensOfSequence(sequences, work.depth(), work.generate()));
        List<Generation> generations = new ArrayList<>();
        ExecutorService readers = Executors.newFixedThreadPool(sequences);
        try {
            List<Future<Heard>> heard = new ArrayList<>();
            for (int i = 0; i < sequences; i++) {
                Generation generation = model.submit(request(model, Math.max(1, work.depth()), tokens, i, work.lookup()));
                generations.add(generation);
                heard.add(readers.submit(() -> listen(generation, tokens)));
            }
            // The first to start: one that began later waited for it, in the queue or for its slices.
            Heard first = heard.get(0).get();
            List<Heard> all = new ArrayList<>();
            for (Future<Heard> future : heard) {
                all.add(future.get());
            }
            return of(all, first, work.generate());
        } catch (ExecutionException e) {
            throw e.getCause() instanceof QwenException typed ? typed : new ToolException("a sequence failed: " + e.getCause(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new ToolException("interrupted", e);
        } finally {
            generations.forEach(Generation::close);
            readers.shutdownNow();
        }
    }

    private static BenchDecode of(List<Heard> all, Heard first, int generate) {
        Heard last = first;
        for (Heard heard : all) {
            last = heard.times[0] > last.times[0] ? heard : last;
        }
        long opens = last.times[0];
        long closes = last.times[generate];
        long tokens = all.stream()
                .mapToLong(heard -> Arrays.stream(heard.times, 0, heard.count).filter(t -> t > opens && t <= closes).count())
                .sum();
        Samples steps = new Samples();
        for (int i = 1; i <= generate; i++) {
            steps.add((last.times[i] - last.times[i - 1]) / 1e9);
        }
        return new BenchDecode(tokens / ((closes - opens) / 1e9), steps, first.prefill);
    }

    private static Heard listen(Generation generation, int tokens) {
        long[] times = new long[tokens];
        int count = 0;
        Duration prefill = Duration.ZERO;
        for (Iterator<GenerationEvent> events = generation.events(); events.hasNext(); ) {
            GenerationEvent event = events.next();
            if (event instanceof GenerationEvent.Token) {
                times[count++] = System.nanoTime();
            } else if (event instanceof GenerationEvent.Finished end) {
                prefill = end.timings().prefill();
            }
        }
        return new Heard(times, count, prefill);
    }

    /** Random tokens, the same ones at every call. */
    static GenerationRequest request(QwenModel model, int promptTokens, int maxTokens, long seed, int lookup) {
        GenerationOptions options = GenerationOptions.builder()
                .sampling(SamplingOptions.GREEDY)
                .maxTokens(maxTokens)
                .ignoreEndTokens(true)
                .promptLookup(lookup)
                .build();
        int rows = model.info().vocabularyRows();
        SplittableRandom random = new SplittableRandom(promptTokens + seed);
        List<Integer> ids = new ArrayList<>();
        for (int i = 0; i < promptTokens; i++) {
            ids.add(random.nextInt(rows));
        }
        return new GenerationRequest.Tokens(ids, options);
    }
}
