/** Chat templates: a conversation becomes a prompt, and calls of tools in the answer become events. */
package io.qwen4j.core.chat;
