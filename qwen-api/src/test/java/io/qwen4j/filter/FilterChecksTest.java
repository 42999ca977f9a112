package io.qwen4j.filter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FilterChecksTest {
    private static final Dimension FACTS = new Dimension("facts", "how correct its facts are");

    private static final Scorer NOTHING = new Scorer() {
        @Override
        public List<String> dimensions() {
            return List.of("a", "b");
        }

        @Override
        public DocumentScores score(String document) {
            throw new DocumentException(DocumentException.Reason.EMPTY, "expected a text", null);
        }
    };

    private static DocumentScores scores(double a, double b) {
        return new DocumentScores(List.of(new DimensionScore("a", a, 1), new DimensionScore("b", b, 0.5)), 7, 7);
    }

    private static String refusal(org.junit.jupiter.api.function.Executable wrong) {
        return assertThrows(IllegalArgumentException.class, wrong).getMessage();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "mean", "tokens", "scored_tokens", "a b", "a\"", "é", "a.b"})
    void namesOfDimensionsNeedNoEscapes(String name) {
        assertTrue(refusal(() -> new Dimension(name, "x")).endsWith("found '" + name + "'"));
    }

    @Test
    void dimensionsAreDescribed() {
        refusal(() -> new Dimension("a".repeat(65), "x"));
        refusal(() -> new Dimension("a", " "));
        assertTrue(refusal(() -> new Dimension("a", "x".repeat(4001))).endsWith("found 4001"));
    }

    @Test
    void rubricsHaveDigitsAndOneDocument() {
        assertTrue(refusal(() -> Rubric.of(List.of())).endsWith("found 0"));
        refusal(() -> Rubric.of(Collections.nCopies(65, FACTS)));
        assertTrue(refusal(() -> Rubric.of(FACTS, FACTS)).contains("facts occurs twice"));
        for (int[] range : new int[][] {{-1, 5}, {1, 10}, {5, 5}, {5, 1}}) {
            refusal(() -> Rubric.of(FACTS).withRatings(range[0], range[1]));
        }
        assertTrue(refusal(() -> Rubric.of(FACTS).withQuestion("{name}?")).contains("found it 0 times"));
        assertTrue(refusal(() -> Rubric.of(FACTS).withQuestion("{document} {document}")).contains("found it 2 times"));
        refusal(() -> Rubric.of(FACTS).withQuestion("{document}" + "x".repeat(20_000)));
    }

    @Test
    void whatLooksLikeAPlaceInADocumentIsNone() {
        Rubric rubric = Rubric.of(FACTS).withRatings(0, 9)
                .withQuestion("{name}|{document}|{description}|{lowest}-{highest}|{other}|{name}");
        assertEquals(
                "facts|a {name} $1 \\ {document}|how correct its facts are|0-9|{other}|facts",
                rubric.message(FACTS, "a {name} $1 \\ {document}"));
    }

    @Test
    void theDocumentOfTheDefaultQuestionComesFirst() {
        String facts = Rubric.of(FACTS).message(FACTS, "DOCUMENT");
        assertTrue(facts.indexOf("DOCUMENT") < facts.indexOf("facts"));
        assertTrue(facts.contains("from 1 (worst) to 5 (best)"));
    }

    @Test
    void thresholdsAreRanges() {
        refusal(() -> new Threshold("a", 2, 1));
        refusal(() -> new Threshold("a", Double.NaN, 1));
        assertTrue(Threshold.least("a", 2).admits(scores(2, 0)));
        assertFalse(Threshold.least("a", 2).admits(scores(Math.nextDown(2.0), 0)));
        assertTrue(Threshold.most("b", 2).admits(scores(9, 2)));
        assertFalse(Threshold.most("b", 2).admits(scores(0, Math.nextUp(2.0))));
        assertTrue(new Threshold(Threshold.MEAN, 1.5, 1.5).admits(scores(1, 2)));
        refusal(() -> Threshold.least("c", 2).admits(scores(1, 2)));
    }

    @Test
    void scoresAreFinite() {
        refusal(() -> new DimensionScore("a", Double.NaN, 1));
        refusal(() -> new DimensionScore("a", Double.POSITIVE_INFINITY, 1));
        refusal(() -> new DimensionScore("a", 1, 1.1));
        refusal(() -> new DocumentScores(List.of(), 1, 1));
        refusal(() -> new DocumentScores(List.of(new DimensionScore("a", 1, 1)), 1, 2));
    }

    @Test
    void allThresholdsMustAdmit() {
        QualityFilter filter =
                QualityFilter.builder(NOTHING).threshold(Threshold.least("a", 1)).threshold(Threshold.most("mean", 3)).build();
        assertTrue(filter.admits(scores(1, 5)));
        assertFalse(filter.admits(scores(0.9, 2)));
        assertFalse(filter.admits(scores(1, 6)));
        assertTrue(QualityFilter.builder(NOTHING).build().admits(scores(-9, 9)));
    }

    @Test
    void filtersAreChecked() {
        assertTrue(refusal(() -> QualityFilter.builder(NOTHING).threshold(Threshold.least("c", 1)).build()).endsWith("found 'c'"));
        refusal(() -> QualityFilter.builder(NOTHING).inFlight(0).build());
        refusal(() -> QualityFilter.builder(NOTHING).inFlight(257).build());
    }

    @Test
    void whatBecomesOfErrorsIsChosen() {
        assertThrows(DocumentException.class, () -> QualityFilter.builder(NOTHING).build().judge("x"));
        assertFalse(QualityFilter.builder(NOTHING).onError(OnError.SKIP).build().judge("x").kept());
        Verdict verdict = QualityFilter.builder(NOTHING).onError(OnError.KEEP).build().judge("x");
        assertTrue(verdict.kept() && verdict.scores() == null && verdict.error() != null);
    }

    @Test
    void filesAreChecked() {
        FilterFiles.Builder files = FilterFiles.builder(Path.of("a"), Path.of("d", "b"));
        assertEquals(Path.of("d", "b.journal"), files.build().journal());
        refusal(() -> files.mostLineBytes(63).build());
        refusal(() -> files.mostLineBytes((1 << 30) + 1).build());
        files.mostLineBytes(64);
        refusal(() -> files.field("").build());
        refusal(() -> files.field("quality").build());
        refusal(() -> FilterFiles.builder(Path.of("a"), Path.of("/")).build());
    }

    @Test
    void progressTellsSpeedAndRest() {
        FilterProgress progress = new FilterProgress(600, 1000, 30, 15, 200, 10, 500, Duration.ofSeconds(2));
        assertEquals(5, progress.documentsPerSecond());
        assertEquals(250, progress.tokensPerSecond());
        assertEquals(0.5, progress.keptShare());
        assertEquals(Optional.of(Duration.ofSeconds(4)), progress.remaining());
        FilterProgress none = new FilterProgress(0, 0, 0, 0, 0, 0, 0, Duration.ZERO);
        assertEquals(0, none.documentsPerSecond());
        assertEquals(0, none.keptShare());
        assertEquals(Optional.empty(), none.remaining());
    }
}
