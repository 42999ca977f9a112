/** The {@code qwen} command, written on the public API alone. */
@NullMarked
package io.qwen4j.tool;

import org.jspecify.annotations.NullMarked;
