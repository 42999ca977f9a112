package io.qwen4j;

/** Named checks of arguments. */
final class Checks {
    private Checks() {}

    static int range(String name, int value, int least, int most) {
        if (value < least || value > most) {
            throw new IllegalArgumentException(name + " must be " + least + " to " + most + ", found " + value);
        }
        return value;
    }

    /** NaN is outside every range. */
    static float range(String name, float value, float least, float most) {
        if (!(value >= least && value <= most)) {
            throw new IllegalArgumentException(name + " must be " + least + " to " + most + ", found " + value);
        }
        return value;
    }
}
