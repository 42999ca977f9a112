package io.qwen4j.natives;

import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import org.junit.jupiter.api.extension.ConditionEvaluationResult;
import org.junit.jupiter.api.extension.ExecutionCondition;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Tests of the native library. Where there is none, {@link NativeLibraryTest} says so, once, and these are counted as skipped. */
@Target(ElementType.TYPE)
@Retention(RetentionPolicy.RUNTIME)
@ExtendWith(NeedsNative.Condition.class)
@interface NeedsNative {
    /** Looks whether the library works. */
    final class Condition implements ExecutionCondition {
        @Override
        public ConditionEvaluationResult evaluateExecutionCondition(ExtensionContext context) {
            return (Instances.CUDA ? CudaRuntime.instance().cause() : NativeRuntime.instance().cause())
                    .map(cause -> ConditionEvaluationResult.disabled("no native library: " + cause.getMessage()))
                    .orElse(ConditionEvaluationResult.enabled("the native library works"));
        }
    }
}
