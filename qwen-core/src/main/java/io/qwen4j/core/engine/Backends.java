package io.qwen4j.core.engine;

import io.qwen4j.BackendInfo;
import io.qwen4j.BackendUnavailableException;
import io.qwen4j.Device;
import io.qwen4j.QwenException;
import io.qwen4j.core.ops.Ops;
import io.qwen4j.core.ops.OpsOptions;
import io.qwen4j.core.ops.OpsProvider;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds the backend that computes. */
public final class Backends {
    private static final Logger LOG = LoggerFactory.getLogger(Backends.class);

    private Backends() {}

    /**
     * Makes the backend that the settings ask for, and logs which.
     *
     * @throws BackendUnavailableException if it does not work here
     */
    static Ops open(Settings settings) {
        List<String> problems = new ArrayList<>();
        return open(settings, providers(problems), problems);
    }

    static Ops open(Settings settings, List<OpsProvider> providers, List<String> problems) {
        OpsOptions options = new OpsOptions(settings.threads(), settings.instructionSet(), settings.activations());
        boolean auto = settings.device() == Device.AUTO;
        Ops ops = auto ? best(providers, options, problems) : forced(settings.device(), providers, options, problems);
        log(ops, problems);
        return ops;
    }

    /**
     * Makes another backend where the device that was chosen by itself cannot take a model: its memory is too small, it has no kernels
     * for it, or it failed. Warns why; the one that was chosen is closed.
     *
     * @throws QwenException {@code cause}, if the device was asked for or what was chosen is the host itself
     */
    static Ops openOnHost(Settings settings, Ops chosen, QwenException cause) {
        if (settings.device() != Device.AUTO || chosen.hostMemory()) {
            throw cause;
        }
        List<String> problems = new ArrayList<>();
        List<OpsProvider> providers = providers(problems);
        return openOnHost(settings, chosen, cause, providers, problems);
    }

    static Ops openOnHost(
            Settings settings, Ops chosen, QwenException cause, List<OpsProvider> providers, List<String> problems) {
        problems.add(chosen.description() + " (" + cause.getMessage() + ")");
        chosen.close();
        List<OpsProvider> others = providers.stream().filter(p -> p.device() != Device.CUDA).toList();
        Ops ops = best(others, new OpsOptions(settings.threads(), settings.instructionSet(), settings.activations()), problems);
        LOG.warn("backend: {}; not used: {}", ops.description(), String.join("; ", problems));
        return ops;
    }

    /** Implements {@link BackendInfo#all()}. */
    public static List<BackendInfo> describe() {
        List<OpsProvider> providers = new ArrayList<>(providers(new ArrayList<>()));
        providers.sort(Comparator.comparingInt(OpsProvider::priority).reversed());
        return providers.stream().map(Backends::describe).toList();
    }

    private static BackendInfo describe(OpsProvider provider) {
        try {
            return new BackendInfo(
                    provider.device(), provider.unavailabilityCause().map(Backends::message).orElse(null), provider.hardware());
        } catch (LinkageError e) {
            return new BackendInfo(provider.device(), message(e), List.of());
        }
    }

    private static void log(Ops ops, List<String> problems) {
        if (problems.isEmpty()) {
            LOG.info("backend: {}", ops.description());
        } else if (problems.stream().allMatch(p -> p.startsWith(name(Device.CUDA)))) {
            // Most machines have no card: nothing to warn of.
            LOG.info("backend: {}; not used: {}", ops.description(), String.join("; ", problems));
        } else {
            LOG.warn("backend: {}; not used: {}", ops.description(), String.join("; ", problems));
        }
    }

    private static Ops best(List<OpsProvider> providers, OpsOptions options, List<String> problems) {
        List<OpsProvider> byPriority = new ArrayList<>(providers);
        byPriority.sort(Comparator.comparingInt(OpsProvider::priority).reversed());
        if (byPriority.stream().noneMatch(p -> p.device() == Device.CPU)) {
            problems.add("cpu (no native kernels on the class path: io.qwen4j:qwen-native)");
        }
        BackendUnavailableException last = null;
        for (OpsProvider provider : byPriority) {
            try {
                return create(provider, options);
            } catch (BackendUnavailableException e) {
                problems.add(name(provider.device()) + " (" + reason(e) + ")");
                last = e;
            }
        }
        throw new BackendUnavailableException("no backend works here: " + String.join("; ", problems), last);
    }

    private static Ops forced(Device device, List<OpsProvider> providers, OpsOptions options, List<String> problems) {
        for (OpsProvider provider : providers) {
            if (provider.device() == device) {
                return create(provider, options);
            }
        }
        throw new BackendUnavailableException("the backend " + name(device) + " was asked for but is not on the class path"
                + (device == Device.CPU ? "; add io.qwen4j:qwen-native with the classifier of this platform, or use another device" : "")
                + (problems.isEmpty() ? "" : " (" + String.join("; ", problems) + ")"));
    }

    private static Ops create(OpsProvider provider, OpsOptions options) {
        Optional<Throwable> cause;
        try {
            cause = provider.unavailabilityCause();
            if (cause.isEmpty()) {
                return provider.create(options);
            }
        } catch (LinkageError e) {
            cause = Optional.of(e);
        }
        throw new BackendUnavailableException("the backend " + name(provider.device()) + " does not work here: " + cause.get().getMessage(),
                cause.get());
    }

    private static String reason(BackendUnavailableException e) {
        return message(e.getCause() == null ? e : e.getCause());
    }

    private static String message(Throwable cause) {
        String message = cause.getMessage();
        return message == null ? cause.toString() : message.lines().findFirst().orElse(cause.toString());
    }

    private static String name(Device device) {
        return device.name().toLowerCase(Locale.ROOT);
    }

    /** All providers that can be made; what is wrong with the others goes to {@code problems}. */
    private static List<OpsProvider> providers(List<String> problems) {
        List<OpsProvider> found = new ArrayList<>();
        Iterator<OpsProvider> all = ServiceLoader.load(OpsProvider.class, Backends.class.getClassLoader()).iterator();
        while (true) {
            try {
                if (!all.hasNext()) {
                    return found;
                }
                found.add(all.next());
            } catch (ServiceConfigurationError | LinkageError e) {
                problems.add("a provider (" + e + ")");
            }
        }
    }
}
