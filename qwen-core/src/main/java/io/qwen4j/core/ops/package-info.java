/** The contract of a backend, and the plain Java backend that defines it. */
package io.qwen4j.core.ops;
