/** Ties the rooms of the core together behind the API. */
package io.qwen4j.core;
