/** Quality filters: scores of documents, several at a time in order, and runs from file to file that can be resumed. */
package io.qwen4j.core.filter;
