package io.qwen4j.core.chat.jinja;

import io.qwen4j.ControlTokens;
import io.qwen4j.RenderedPrompt;
import io.qwen4j.TemplateException;
import java.time.Clock;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/** A parsed template. Immutable and thread-safe. */
public final class JinjaTemplate {
    private final List<Statement> body;
    /** The string literals of the source in lower case. */
    private final Set<String> literals;
    private final JinjaLimits limits;

    private JinjaTemplate(List<Statement> body, Set<String> literals, JinjaLimits limits) {
        this.body = body;
        this.literals = literals;
        this.limits = limits;
    }

    /**
     * Parses a template.
     *
     * @throws TemplateException if it is malformed, outside the supported subset or beyond the limits
     */
    public static JinjaTemplate parse(String source, JinjaLimits limits) {
        if (source.length() > limits.sourceCharacters()) {
            throw new TemplateException(
                    "the chat template has " + source.length() + " characters, more than the limit of " + limits.sourceCharacters());
        }
        try {
            List<Token> tokens = Lexer.tokens(source);
            Set<String> literals = tokens.stream()
                    .filter(token -> token.kind() == Token.Kind.STRING)
                    .map(token -> Strings.lower(token.text()))
                    .collect(Collectors.toUnmodifiableSet());
            return new JinjaTemplate(Parser.parse(tokens, limits), literals, limits);
        } catch (StackOverflowError e) {
            throw stackExhausted(e);
        }
    }

    /** Whether a word is one of the template's string literals, in whatever case. */
    public boolean speaksOf(String word) {
        return literals.contains(Strings.lower(word));
    }

    /**
     * Renders the template.
     *
     * @param variables what the template finds by name
     * @throws TemplateException if the template raises an error or exceeds a limit
     */
    public RenderedPrompt render(Map<String, Object> variables, Clock clock) {
        Evaluation evaluation = new Evaluation(limits, clock);
        Scope globals = new Scope(null);
        Globals.ALL.forEach(globals::set);
        Scope scope = new Scope(globals);
        variables.forEach(scope::set);
        try {
            evaluation.run(body, scope);
        } catch (StackOverflowError e) {
            throw stackExhausted(e);
        }
        Text output = evaluation.output();
        List<RenderedPrompt.Segment> segments = new ArrayList<>();
        for (int run = 0; run < output.runs(); run++) {
            segments.add(new RenderedPrompt.Segment(
                    output.chars().substring(output.runStart(run), output.runEnd(run)),
                    output.runPlain(run) ? ControlTokens.PLAIN : ControlTokens.RECOGNIZE));
        }
        return new RenderedPrompt(segments);
    }

    /** The limits on depth fit the stack of an ordinary thread; a caller with little of it left gets an error all the same. */
    private static TemplateException stackExhausted(StackOverflowError cause) {
        return new TemplateException("the chat template needs a deeper stack than this thread has left", cause);
    }
}
