/** tiny-qwen, a 4.2-million-parameter model in the Qwen2 architecture, as resources of this jar. */
@NullMarked
package io.qwen4j.tinyqwen;

import org.jspecify.annotations.NullMarked;
