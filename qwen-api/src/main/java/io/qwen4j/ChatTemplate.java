package io.qwen4j;

import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;
import java.util.List;

/**
 * Turns a conversation into a prompt. Thread-safe.
 *
 * <p>The template comes from the model's files and is written in Jinja. A bounded subset is interpreted: no code of the model runs, no
 * object of the JVM can be reached, and output, nesting and steps are limited.
 */
public interface ChatTemplate {
    /**
     * Reads the chat template of a model; needs no weights.
     *
     * @param model a directory with tokenizer_config.json (or chat_template.jinja), or a GGUF file
     * @return the template; a model without one gets the ChatML template of Qwen2.5
     * @throws ModelFileException if the files are not what they should be
     * @throws TemplateException if the template is outside the supported subset
     */
    static ChatTemplate load(Path model) {
        return QwenProvider.instance().loadChatTemplate(model, ModelLimits.DEFAULT);
    }

    /**
     * Parses a template.
     *
     * @param jinja the template's source
     * @return the template
     * @throws TemplateException if it is outside the supported subset
     */
    static ChatTemplate parse(String jinja) {
        return QwenProvider.instance().parseChatTemplate(jinja);
    }

    /**
     * Renders a conversation.
     *
     * @param messages the messages, at least one
     * @param tools the tools the model may call, possibly none
     * @param addGenerationPrompt whether the beginning of the assistant's turn is appended
     * @return the prompt
     * @throws TemplateException if the template raises an error or exceeds a limit
     */
    RenderedPrompt render(List<Message> messages, List<ToolSpec> tools, boolean addGenerationPrompt);

    /**
     * Renders a conversation given as JSON, as Hugging Face's {@code apply_chat_template} takes it.
     *
     * @param conversation an object with {@code messages} (an array of objects with {@code role}, {@code content} and more), optionally
     *     {@code tools}, {@code add_generation_prompt} (default true) and further variables of the template
     * @return the prompt
     * @throws IllegalArgumentException if the JSON is not such an object
     * @throws TemplateException if the template raises an error or exceeds a limit
     */
    RenderedPrompt renderJson(String conversation);

    /**
     * The template's source.
     *
     * @return Jinja text
     */
    String source();
}
