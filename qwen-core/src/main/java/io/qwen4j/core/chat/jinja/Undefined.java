package io.qwen4j.core.chat.jinja;

import io.qwen4j.TemplateException;

/**
 * A name, item or attribute that is not there. It prints as nothing, is false and empty; anything else done with it is an error.
 *
 * @param what names it for the error
 */
record Undefined(String what) {
    TemplateException error() {
        return new TemplateException("the chat template uses " + what + ", which is undefined");
    }
}
