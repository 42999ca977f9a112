package io.qwen4j;

/** A model or an answer was used after the model was closed. */
public class ModelClosedException extends IllegalStateException {
    private static final long serialVersionUID = 1;

    /** Makes an error. */
    public ModelClosedException() {
        super("the model is closed");
    }
}
