package io.qwen4j.core.chat;

import io.qwen4j.ChatTemplate;
import io.qwen4j.Message;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.TemplateException;
import io.qwen4j.ToolCall;
import io.qwen4j.ToolSpec;
import io.qwen4j.core.chat.jinja.Dict;
import io.qwen4j.core.chat.jinja.JinjaLimits;
import io.qwen4j.core.chat.jinja.JinjaTemplate;
import io.qwen4j.core.chat.jinja.Seq;
import io.qwen4j.core.chat.jinja.Text;
import java.time.Clock;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A chat template in Jinja, with the special tokens of its model as variables. */
public final class JinjaChatTemplate implements ChatTemplate {
    private static final Set<String> ROLES = Set.of("system", "user", "assistant", "tool");

    private final String source;
    private final JinjaTemplate template;
    private final Map<String, Object> specialTokens;
    private final Clock clock;
    private volatile @Nullable ToolCallStyle toolCallStyle;

    JinjaChatTemplate(String source, Map<String, Object> specialTokens, JinjaLimits limits, Clock clock) {
        this.source = source;
        this.template = JinjaTemplate.parse(source, limits);
        this.specialTokens = Map.copyOf(specialTokens);
        this.clock = clock;
    }

    /**
     * Parses a template that belongs to no model. Without a model there are no special tokens to tell the template of, except those of a
     * family that the source itself makes known.
     *
     * @throws TemplateException if it is outside the supported subset
     */
    public static JinjaChatTemplate parse(String source) {
        return new JinjaChatTemplate(source, SpecialTokens.ofFamily(source), JinjaLimits.DEFAULT, Clock.systemDefaultZone());
    }

    @Override
    public String source() {
        return source;
    }

    @Override
    public RenderedPrompt render(List<Message> messages, List<ToolSpec> tools, boolean addGenerationPrompt) {
        if (messages.isEmpty()) {
            throw new IllegalArgumentException("a chat needs at least one message");
        }
        return render(values(messages), tools.isEmpty() ? null : tools(tools), addGenerationPrompt);
    }

    /**
     * Renders a conversation that ends with an answer in steps.
     *
     * @param messages what came before the answer, at least one message
     * @param steps the steps of the answer
     * @param end a control token that the program writes behind each step
     */
    public RenderedPrompt renderSteps(List<Message> messages, List<String> steps, String end) {
        if (messages.isEmpty()) {
            throw new IllegalArgumentException("a chat needs at least one message");
        }
        List<Text> pieces = new ArrayList<>(2 * steps.size());
        for (String step : steps) {
            pieces.add(Text.plain(step));
            pieces.add(Text.trusted(end));
        }
        Dict answer = new Dict();
        answer.put("role", Text.trusted("assistant"));
        answer.put("content", Text.joined(pieces));
        List<Object> all = values(messages);
        all.add(answer);
        return render(all, null, false);
    }

    private List<Object> values(List<Message> messages) {
        boolean calls = messages.stream().anyMatch(m -> m instanceof Message.Assistant assistant && !assistant.toolCalls().isEmpty());
        ToolCallStyle style = calls ? toolCallStyle() : ToolCallStyle.USUAL;
        List<Object> list = new ArrayList<>(messages.size() + 1);
        for (Message message : messages) {
            list.add(value(message, style));
        }
        return list;
    }

    private RenderedPrompt render(List<Object> messages, @Nullable Seq tools, boolean addGenerationPrompt) {
        Map<String, Object> variables = new HashMap<>(specialTokens);
        variables.put("messages", Seq.list(messages));
        variables.put("tools", tools);
        variables.put("documents", null);
        variables.put("add_generation_prompt", addGenerationPrompt);
        return template.render(variables, clock);
    }

    private static Dict value(Message message, ToolCallStyle style) {
        Dict dict = new Dict();
        dict.put("role", Text.trusted(role(message)));
        dict.put("content", Text.plain(message.content()));
        if (message instanceof Message.Assistant assistant && !assistant.toolCalls().isEmpty()) {
            if (message.content().isEmpty() && style.nullContent()) {
                dict.put("content", (Object) null);
            }
            List<Object> calls = new ArrayList<>();
            for (ToolCall call : assistant.toolCalls()) {
                calls.add(value(call, style));
            }
            dict.put("tool_calls", Seq.list(calls));
        }
        return dict;
    }

    private static String role(Message message) {
        if (message instanceof Message.System) {
            return "system";
        }
        return message instanceof Message.User ? "user" : message instanceof Message.Assistant ? "assistant" : "tool";
    }

    private static Dict value(ToolCall call, ToolCallStyle style) {
        Object arguments = JsonValues.parse(call.argumentsJson(), "the arguments of the tool call " + call.id());
        if (!(arguments instanceof Dict)) {
            throw new IllegalArgumentException("the arguments of the tool call " + call.id() + " are no JSON object");
        }
        Dict function = new Dict();
        function.put("name", Text.plain(call.name()));
        function.put("arguments", style.textArguments() ? Text.plain(call.argumentsJson()) : arguments);
        Dict dict = new Dict();
        dict.put("id", Text.plain(call.id()));
        dict.put("type", Text.trusted("function"));
        dict.put("function", function);
        return dict;
    }

    private static Seq tools(List<ToolSpec> tools) {
        List<Object> list = new ArrayList<>(tools.size());
        for (ToolSpec tool : tools) {
            Object parameters = JsonValues.parse(tool.parametersJsonSchema(), "the parameters of the tool " + tool.name());
            if (!(parameters instanceof Dict)) {
                throw new IllegalArgumentException("the parameters of the tool " + tool.name() + " are no JSON object");
            }
            Dict function = new Dict();
            function.put("name", Text.plain(tool.name()));
            function.put("description", Text.plain(tool.description()));
            function.put("parameters", parameters);
            Dict dict = new Dict();
            dict.put("type", Text.trusted("function"));
            dict.put("function", function);
            list.add(dict);
        }
        return Seq.list(list);
    }

    private ToolCallStyle toolCallStyle() {
        ToolCallStyle style = toolCallStyle;
        if (style == null) {
            style = ToolCallStyle.find(this::renderProbe);
            toolCallStyle = style;
        }
        return style;
    }

    private String renderProbe(ToolCallStyle style) {
        Message call = Message.assistant("", List.of(new ToolCall("call_0", ToolCallStyle.PROBE_NAME, ToolCallStyle.PROBE_ARGUMENTS)));
        Dict user = value(Message.user("x"), style);
        Map<String, Object> variables = new HashMap<>(specialTokens);
        variables.put("messages", Seq.list(List.of(user, value(call, style), value(Message.tool("x"), style))));
        variables.put("tools", null);
        variables.put("documents", null);
        variables.put("add_generation_prompt", true);
        return template.render(variables, clock).text();
    }

    @Override
    public RenderedPrompt renderJson(String conversation) {
        if (!(JsonValues.parse(conversation, "the conversation") instanceof Dict given)) {
            throw new IllegalArgumentException("the conversation is no JSON object");
        }
        if (!(given.get(Text.trusted("messages"), null) instanceof Seq messages)) {
            throw new IllegalArgumentException("the conversation has no array of messages");
        }
        if (messages.items().isEmpty()) {
            throw new IllegalArgumentException("a chat needs at least one message");
        }
        Map<String, Object> variables = new HashMap<>(specialTokens);
        variables.put("tools", null);
        variables.put("documents", null);
        variables.put("add_generation_prompt", true);
        for (Object key : given.keys()) {
            variables.put(key.toString(), given.get(key, null));
        }
        List<Object> checked = new ArrayList<>(messages.items().size());
        for (int i = 0; i < messages.items().size(); i++) {
            checked.add(withTrustedRole(messages.items().get(i), i));
        }
        variables.put("messages", Seq.list(checked));
        return template.render(variables, clock);
    }

    /** A role is one of the usual ones or one that the template itself speaks of, and so as good as text of the template. */
    private Dict withTrustedRole(@Nullable Object message, int index) {
        if (!(message instanceof Dict dict)) {
            throw new IllegalArgumentException("message " + index + " of the conversation is no JSON object");
        }
        if (!(dict.get(Text.trusted("role"), null) instanceof Text role)) {
            throw new IllegalArgumentException("message " + index + " of the conversation has no string as role");
        }
        String name = role.chars();
        boolean known = ROLES.contains(name)
                || !name.isEmpty()
                        && !ROLES.contains(name.toLowerCase(Locale.ROOT))
                        && template.speaksOf(name)
                        && name.chars().allMatch(c -> c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_');
        if (!known) {
            String shown = name.length() > 40 ? name.substring(0, 40) + "..." : name;
            throw new IllegalArgumentException("message " + index + " of the conversation has the role \"" + shown.replace("\n", "\\n")
                    + "\", expected system, user, assistant, tool or one that the template names");
        }
        Dict checked = new Dict();
        for (Object key : dict.keys()) {
            checked.put(key, key.toString().equals("role") ? Text.trusted(name) : dict.get(key, null));
        }
        return checked;
    }
}
