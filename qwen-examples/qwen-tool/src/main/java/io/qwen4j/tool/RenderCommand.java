package io.qwen4j.tool;

import io.qwen4j.ChatTemplate;
import java.io.IOException;
import java.util.List;

/** A conversation to the text of its prompt. */
final class RenderCommand implements Command {
    @Override
    public String name() {
        return "render";
    }

    @Override
    public String synopsis() {
        return "MODEL [--template FILE]";
    }

    @Override
    public String summary() {
        return "Render a conversation with the model's chat template";
    }

    @Override
    public String details() {
        return "Standard input is an object {\"messages\": […], \"tools\": […], \"add_generation_prompt\": true|false}; the "
                + "last two may be left out. Standard output is the prompt and nothing else. Only the tokenizer files of MODEL "
                + "are needed.";
    }

    @Override
    public List<Option> options() {
        return List.of(Option.value("--template", "FILE", "a Jinja template instead of the model's"));
    }

    @Override
    public void run(Arguments arguments, Streams streams) throws IOException {
        String file = arguments.text("--template");
        ChatTemplate template = file == null
                ? ChatTemplate.load(CommonFlags.model(arguments))
                : ChatTemplate.parse(TextFile.read(file, streams));
        String conversation = TextFile.read("-", streams);
        try {
            streams.out().print(template.renderJson(conversation).text());
        } catch (IllegalArgumentException e) {
            throw new ToolException("standard input: " + e.getMessage(), e);
        }
    }
}
