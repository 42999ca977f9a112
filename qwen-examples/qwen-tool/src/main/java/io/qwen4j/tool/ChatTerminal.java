package io.qwen4j.tool;

import io.qwen4j.QwenException;
import io.qwen4j.QwenModel;
import java.io.IOException;
import org.jline.reader.EndOfFileException;
import org.jline.reader.LineReader;
import org.jline.reader.LineReaderBuilder;
import org.jline.reader.UserInterruptException;
import org.jline.terminal.Terminal;
import org.jline.terminal.TerminalBuilder;

/** A conversation on a terminal; the only class that needs JLine, so that no other command waits for it. */
final class ChatTerminal {
    private ChatTerminal() {}

    static void run(ChatSession session, QwenModel model, Streams streams) throws IOException {
        try (Terminal terminal = TerminalBuilder.builder().system(true).dumb(true).build()) {
            terminal.handle(Terminal.Signal.INT, signal -> session.cancel());
            LineReader reader = LineReaderBuilder.builder()
                    .terminal(terminal)
                    // "!" begins a message, not a reference to an earlier one.
                    .option(LineReader.Option.DISABLE_EVENT_EXPANSION, true)
                    .build();
            session.note(model.info().name() + ", " + model.info().backend() + ". " + ChatSession.COMMANDS + " are commands");
            while (true) {
                try {
                    if (!session.take(reader.readLine("> "))) {
                        return;
                    }
                } catch (UserInterruptException | EndOfFileException e) {
                    return;
                } catch (QwenException e) {
                    // One message that cannot be answered does not end the conversation.
                    streams.err().println("qwen: " + e.getMessage());
                    streams.err().flush();
                }
            }
        }
    }
}
