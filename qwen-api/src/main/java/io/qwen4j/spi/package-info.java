/** What an implementation of Qwen4J provides to the API. Applications do not use this package. */
package io.qwen4j.spi;
