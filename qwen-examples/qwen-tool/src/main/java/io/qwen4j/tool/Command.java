package io.qwen4j.tool;

import java.io.IOException;
import java.util.List;

/** One of the things the tool does. */
interface Command {
    /** The word that names it. */
    String name();

    /** What follows the name, in the notation of usage lines. */
    String synopsis();

    /** What it does, in one line. */
    String summary();

    /** More about it for its help, or the empty text. */
    default String details() {
        return "";
    }

    /** Its own options; the common ones are added. */
    List<Option> options();

    /** The most operands it takes. */
    default int operands() {
        return 1;
    }

    /** Does it. */
    void run(Arguments arguments, Streams streams) throws IOException;
}
