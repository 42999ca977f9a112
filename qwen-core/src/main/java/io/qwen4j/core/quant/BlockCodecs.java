package io.qwen4j.core.quant;

import io.qwen4j.WeightType;
import java.util.EnumMap;
import java.util.Map;

/** The codec of each type. */
final class BlockCodecs {
    private static final Map<WeightType, BlockCodec> ALL = new EnumMap<>(WeightType.class);

    static {
        for (WeightType type : WeightType.values()) {
            ALL.put(type, make(type));
        }
    }

    private BlockCodecs() {}

    private static BlockCodec make(WeightType type) {
        return switch (type) {
            case F32 -> new PlainCodec.F32();
            case F16 -> new PlainCodec.F16();
            case BF16 -> new PlainCodec.Bf16();
            case Q4_0 -> new Q32Codec(type, 4, false);
            case Q4_1 -> new Q32Codec(type, 4, true);
            case Q5_0 -> new Q32Codec(type, 5, false);
            case Q5_1 -> new Q32Codec(type, 5, true);
            case Q8_0 -> new Q8_0Codec();
            case Q2_K -> new Q2KCodec();
            case Q3_K -> new Q3KCodec();
            case Q4_K, Q5_K -> new Q45KCodec(type);
            case Q6_K -> new Q6KCodec();
            case IQ4_NL -> new Iq4NlCodec();
            case IQ4_XS -> new Iq4XsCodec();
            case INT4_G32, INT4_G128, INT8_G32, INT8_G128 -> new GroupCodec(type);
        };
    }

    static BlockCodec of(WeightType type) {
        return ALL.get(type);
    }
}
