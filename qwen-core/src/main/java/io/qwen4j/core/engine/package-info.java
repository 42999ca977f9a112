/** The step loop: which tokens of which sequences run next; streams, cancel, back-pressure; and the model that users hold. */
package io.qwen4j.core.engine;
