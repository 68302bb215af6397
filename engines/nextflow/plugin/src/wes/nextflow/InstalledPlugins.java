package wes.nextflow;

import java.lang.reflect.Field;
import java.util.Map;
import nextflow.plugin.DefaultPlugins;
import org.codehaus.groovy.runtime.InvokerHelper;

/**
 * Without a network Nextflow starts no plugin that a config names without a version, but those that it has a version for
 * itself: so it is given the versions that are there.
 */
final class InstalledPlugins {
    /** What a plugin's id and version are called, before and since Nextflow 25.10. */
    private static final String[] NAMES = {"nextflow.plugin.PluginSpec", "nextflow.plugin.PluginRef"};

    private InstalledPlugins() {}

    @SuppressWarnings("unchecked")
    static void makeDefaults(Map<String, Object> versions) {
        try {
            Field plugins = DefaultPlugins.class.getDeclaredField("plugins");
            plugins.setAccessible(true);
            Map<String, Object> known = (Map<String, Object>) plugins.get(DefaultPlugins.INSTANCE);
            for (Map.Entry<String, Object> plugin : versions.entrySet()) {
                known.put(plugin.getKey(), InvokerHelper.invokeStaticMethod(
                        type(), "parse", plugin.getKey() + "@" + plugin.getValue()));
            }
        } catch (ReflectiveOperationException | RuntimeException error) {
            // Another version of Nextflow: a config has to name versions, as Nextflow itself then says.
        }
    }

    private static Class<?> type() throws ClassNotFoundException {
        ClassNotFoundException none = null;
        for (String name : NAMES) {
            try {
                return Class.forName(name);
            } catch (ClassNotFoundException error) {
                none = error;
            }
        }
        throw none;
    }
}
