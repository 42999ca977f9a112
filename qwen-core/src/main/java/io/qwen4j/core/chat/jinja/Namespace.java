package io.qwen4j.core.chat.jinja;

import java.util.LinkedHashMap;
import java.util.Map;

/** What {@code namespace(...)} makes: attributes that inner scopes may set. */
final class Namespace {
    final Map<String, Object> attributes = new LinkedHashMap<>();
}
