package io.qwen4j;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import com.tngtech.archunit.core.importer.ImportOption;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The arrows between modules and rooms, as docs/architecture.md draws them. */
class ArrowsTest {
    private static JavaClasses classes;

    @BeforeAll
    static void readClasses() {
        classes = new ClassFileImporter()
                .withImportOption(ImportOption.Predefined.DO_NOT_INCLUDE_TESTS)
                .importPackages("io.qwen4j");
        assertTrue(classes.contain("io.qwen4j.QwenModel"));
        assertTrue(classes.contain("io.qwen4j.core.CoreProvider"));
        assertTrue(classes.contain("io.qwen4j.natives.CpuOps"));
    }

    @Test
    void theApiKnowsNobody() {
        noClasses()
                .that()
                .resideInAnyPackage("io.qwen4j", "io.qwen4j.filter", "io.qwen4j.spi")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.qwen4j.core..", "io.qwen4j.natives..", "com.fasterxml..", "org.slf4j..", "org.bytedeco..")
                .check(classes);
    }

    @Test
    void theCoreDoesNotKnowTheNativeModule() {
        noClasses()
                .that()
                .resideInAPackage("io.qwen4j.core..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage("io.qwen4j.natives..", "org.bytedeco..")
                .check(classes);
    }

    @Test
    void theNativeModuleDoesNotSeeJackson() {
        noClasses()
                .that()
                .resideInAPackage("io.qwen4j.natives..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("com.fasterxml..")
                .check(classes);
    }

    @Test
    void onlyTheNativeModuleSeesJavaCpp() {
        noClasses()
                .that()
                .resideOutsideOfPackage("io.qwen4j.natives..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.bytedeco..")
                .check(classes);
    }

    @Test
    void formatsAndBackendsComputeAndParseApart() {
        noClasses()
                .that()
                .resideInAPackage("io.qwen4j.core.ops..")
                .should()
                .dependOnClassesThat()
                .resideInAnyPackage(
                        "io.qwen4j.core.format..",
                        "io.qwen4j.core.engine..",
                        "io.qwen4j.core.tokenizer..",
                        "io.qwen4j.core.chat..",
                        "io.qwen4j.core.sampling..")
                .check(classes);
        noClasses()
                .that()
                .resideInAnyPackage("io.qwen4j.core.tokenizer..", "io.qwen4j.core.chat..", "io.qwen4j.core.sampling..", "io.qwen4j.core.model..")
                .should()
                .dependOnClassesThat()
                .resideInAPackage("io.qwen4j.core.engine..")
                .check(classes);
    }
}
