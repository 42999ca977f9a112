package io.qwen4j.core.engine;

import io.qwen4j.LoadOptions;
import io.qwen4j.ModelFileException;
import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.SparsePrefill;
import io.qwen4j.core.format.SparseBudgetsFile;
import io.qwen4j.core.model.QwenConfig;
import io.qwen4j.core.model.SparseBudgets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The budgets of sparse prefill that options ask for. */
final class Budgets {
    private static final Logger LOG = LoggerFactory.getLogger(Budgets.class);

    private Budgets() {}

    /**
     * Finds budgets.
     *
     * @param model directory or file of the model
     * @return budgets of all layers, or null if there is no sparse prefill
     * @throws ModelFileException if there is no file of budgets, or it is not one of this model
     */
    static @Nullable SparseBudgets of(Path model, QwenConfig config, LoadOptions options) {
        Path published = Files.isDirectory(model) ? model.resolve(SparseBudgetsFile.NAME) : model.resolveSibling(SparseBudgetsFile.NAME);
        SparsePrefill sparse = options.sparsePrefill();
        if (sparse == null) {
            if (Files.exists(published)) {
                LOG.info("{}: there are budgets for sparse prefill, {}; it is off unless LoadOptions.sparsePrefill switches it on", model,
                        published.getFileName());
            }
            return null;
        }
        if (sparse.columns() > 0) {
            return SparseBudgets.uniform(config.layers(), config.heads(), sparse.columns(), sparse.diagonals());
        }
        Path file = sparse.budgets() == null ? published : sparse.budgets();
        if (!Files.exists(file)) {
            throw new ModelFileException(Reason.MISSING, file, "sparse prefill was asked for, but there is no such file of budgets;"
                    + " SparseAttention.calibrate (qwen calibrate-sparse) writes one");
        }
        SparseBudgets budgets = SparseBudgetsFile.read(file, config.layers(), config.heads());
        LOG.info("{}: prompts of more than {} tokens are prefilled sparsely, with up to {} columns and {} diagonals", model,
                sparse.threshold(), budgets.mostColumns(), budgets.mostDiagonals());
        return budgets;
    }
}
