package io.qwen4j.natives;

import static com.tngtech.archunit.lang.syntax.ArchRuleDefinition.noClasses;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import org.junit.jupiter.api.Test;

/** Of what this module sees, only this module sees JavaCPP, and only in the bindings. */
class JavaCppArrowTest {
    @Test
    void onlyTheBindingsSeeJavaCpp() {
        JavaClasses classes = new ClassFileImporter().importPackages("io.qwen4j");
        noClasses()
                .that()
                .doNotHaveFullyQualifiedName(NativeLibrary.class.getName())
                .and()
                .doNotHaveFullyQualifiedName(CudaLibrary.class.getName())
                .should()
                .dependOnClassesThat()
                .resideInAPackage("org.bytedeco..")
                .check(classes);
    }
}
