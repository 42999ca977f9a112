package io.qwen4j.core.format.gguf;

import io.qwen4j.ModelFileException.Reason;
import io.qwen4j.ModelLimits;
import io.qwen4j.core.format.FormatError;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The files of a GGUF model: one, or several named {@code NAME-00001-of-00003.gguf}, of which the first has the metadata. */
final class GgufParts {
    private static final String NO = "split.no";
    private static final String COUNT = "split.count";
    private static final String TENSORS = "split.tensors.count";
    private static final Pattern NAME = Pattern.compile("(.*)-([0-9]{5})-of-([0-9]{5})\\.gguf");
    private static final int MAX_FILES = 10_000;

    private GgufParts() {}

    static List<GgufFile> open(Path path, ModelLimits limits) {
        List<GgufFile> files = new ArrayList<>();
        try {
            files.add(GgufFile.open(path, limits));
            GgufMetadata metadata = files.get(0).metadata();
            int count = metadata.has(COUNT) ? metadata.integer(COUNT, 0, MAX_FILES) : 1;
            if (count > 1) {
                openOthers(path, count, limits, files);
            }
            return files;
        } catch (Throwable e) {
            files.forEach(GgufFile::close);
            throw e;
        }
    }

    private static void openOthers(Path path, int count, ModelLimits limits, List<GgufFile> files) {
        checkNumber(files.get(0), 0, count);
        Matcher name = NAME.matcher(path.getFileName().toString());
        if (!name.matches() || !name.group(2).equals("00001") || Integer.parseInt(name.group(3)) != count) {
            throw FormatError.of(
                    Reason.MISSING,
                    path,
                    "the file is the first of " + count + "; its name must be like "
                            + String.format("NAME-00001-of-%05d.gguf", count) + " so that the others can be found");
        }
        for (int i = 1; i < count; i++) {
            GgufFile file = GgufFile.open(path.resolveSibling(String.format("%s-%05d-of-%05d.gguf", name.group(1), i + 1, count)), limits);
            files.add(file);
            checkNumber(file, i, count);
        }
        GgufMetadata metadata = files.get(0).metadata();
        int tensors = files.stream().mapToInt(f -> f.tensors().size()).sum();
        if (metadata.has(TENSORS) && metadata.unsigned(TENSORS) != tensors) {
            throw FormatError.of(
                    Reason.CORRUPT, path, TENSORS + " is " + metadata.unsigned(TENSORS) + ", the files have " + tensors + " tensors");
        }
    }

    private static void checkNumber(GgufFile file, int no, int count) {
        GgufMetadata metadata = file.metadata();
        if (metadata.unsigned(NO) != no || metadata.unsigned(COUNT) != count) {
            throw FormatError.of(
                    Reason.CONFIG,
                    metadata.file(),
                    NO + " is " + metadata.unsigned(NO) + " of " + metadata.unsigned(COUNT) + ", expected " + no + " of " + count
                            + (no == 0 ? "; open the first file" : ""));
        }
    }
}
