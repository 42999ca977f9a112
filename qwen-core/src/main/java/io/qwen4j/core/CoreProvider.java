package io.qwen4j.core;

import io.qwen4j.ChatTemplate;
import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileInfo;
import io.qwen4j.ModelLimits;
import io.qwen4j.ProgressListener;
import io.qwen4j.QwenModel;
import io.qwen4j.Tokenizer;
import io.qwen4j.WeightType;
import io.qwen4j.core.model.Quantizer;
import io.qwen4j.spi.QwenProvider;
import java.nio.file.Path;

/** Implements the API. */
public final class CoreProvider implements QwenProvider {
    @Override
    public QwenModel load(Path model, LoadOptions options) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Tokenizer loadTokenizer(Path model, ModelLimits limits) {
        throw new UnsupportedOperationException();
    }

    @Override
    public ChatTemplate loadChatTemplate(Path model, ModelLimits limits) {
        throw new UnsupportedOperationException();
    }

    @Override
    public ChatTemplate parseChatTemplate(String jinja) {
        throw new UnsupportedOperationException();
    }

    @Override
    public ModelFileInfo inspect(Path model, ModelLimits limits) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void quantize(Path model, WeightType type, Path output, ProgressListener progress) {
        Quantizer.quantizeFile(model, type, output, ModelLimits.DEFAULT, progress);
    }
}
