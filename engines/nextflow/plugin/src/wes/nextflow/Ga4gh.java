package wes.nextflow;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import nextflow.executor.Executor;
import nextflow.plugin.Plugins;

/** Nextflow's own plugin for the TES, where the user's Nextflow has it: it sends the tasks, and to this run's TES only. */
final class Ga4gh {
    static final String ID = "nf-ga4gh";
    /** The plugin adds the version to what it is given. */
    private static final String VERSION_PATH = "/v1";
    private static final String POLL_INTERVAL = "300ms";
    private static final int TIMEOUT_SECONDS = 60;

    private Ga4gh() {}

    static Class<? extends Executor> executor() {
        List<Class<? extends Executor>> found = Plugins.getManager().getExtensionClasses(Executor.class, ID);
        if (found.isEmpty()) {
            throw new IllegalStateException("the plugin " + ID + " is not there, or has no executor");
        }
        return found.get(0);
    }

    /** Puts the run's TES in place of what any config says. */
    static void configure(Map<Object, Object> config, Settings settings) {
        Map<Object, Object> tes = new LinkedHashMap<>();
        tes.put("endpoint", without(settings.tesUrl, VERSION_PATH));
        tes.put("oauthToken", settings.token);
        tes.put("timeout", TIMEOUT_SECONDS);
        tes.put("pollInterval", POLL_INTERVAL);
        config.put("tes", tes);
        scope(config, "executor").put("queueSize", settings.parallel);
        scope(config, "executor").putIfAbsent("pollInterval", POLL_INTERVAL);
        // It sends no task without an image. What a process itself names comes before this.
        scope(config, "process").putIfAbsent("container", settings.defaultImage);
    }

    @SuppressWarnings("unchecked")
    private static Map<Object, Object> scope(Map<Object, Object> config, String name) {
        if (!(config.get(name) instanceof Map)) {
            config.put(name, new HashMap<>());
        }
        return (Map<Object, Object>) config.get(name);
    }

    private static String without(String url, String end) {
        return url.endsWith(end) ? url.substring(0, url.length() - end.length()) : url;
    }
}
