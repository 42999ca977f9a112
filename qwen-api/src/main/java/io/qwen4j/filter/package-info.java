/**
 * Quality filters: documents are scored by a model, and those that reach the thresholds are kept.
 *
 * <p>A {@link io.qwen4j.filter.Scorer} computes the scores of a document: an instruct model rates it along named dimensions, as the
 * Qwen2.5 technical report (2412.15115, section 3.1) says of its pre-training data, a model tells how well it predicts it, or a reward
 * model judges it. A {@link io.qwen4j.filter.QualityFilter} scores several documents at a time and keeps their order, in memory as a
 * stream, or from file to file ({@link io.qwen4j.filter.FilterFiles}), where a run that was killed goes on.
 */
package io.qwen4j.filter;
