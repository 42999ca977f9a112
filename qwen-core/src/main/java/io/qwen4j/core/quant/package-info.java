/** Block formats of weights: values to blocks and back. */
package io.qwen4j.core.quant;
