package wes.nextflow;

import groovy.json.JsonOutput;
import groovy.json.JsonSlurper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.Yaml;
import org.yaml.snakeyaml.constructor.SafeConstructor;

/** Files that Nextflow is started with and that are put together here, as Nextflow takes one of each kind. */
final class LaunchFiles {
    private static final String OPTION = "-params-file";

    private LaunchFiles() {}

    /** Nextflow's config of the user, which each config of the workflow wins over. */
    static void writeUserConfig(Settings settings) throws IOException {
        Path home = Path.of(System.getenv("NXF_HOME"));
        if (settings.userConfig != null) {
            Files.createDirectories(home);
            Files.copy(settings.userConfig, home.resolve("config"), java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** Puts the params of the attached file below those of the request, which win. */
    static void addParams(Settings settings, String[] arguments) throws IOException {
        if (settings.paramsFile == null) {
            return;
        }
        for (int i = 0; i + 1 < arguments.length; i++) {
            if (arguments[i].equals(OPTION)) {
                Map<Object, Object> params = new LinkedHashMap<>(read(settings.paramsFile));
                params.putAll(read(Path.of(arguments[i + 1])));
                Path merged = settings.own().resolve("params.json");
                Files.writeString(merged, JsonOutput.toJson(params));
                arguments[i + 1] = merged.toString();
                return;
            }
        }
    }

    private static Map<?, ?> read(Path file) throws IOException {
        String text = Files.readString(file);
        Object document;
        try {
            document = file.toString().endsWith(".json")
                    ? new JsonSlurper().parseText(text)
                    : new Yaml(new SafeConstructor(new LoaderOptions())).load(text);
        } catch (RuntimeException error) {
            throw new IllegalArgumentException(settingsName(file) + " can't be read: " + error.getMessage(), error);
        }
        if (!(document instanceof Map)) {
            throw new IllegalArgumentException(settingsName(file) + " holds no names with values");
        }
        return (Map<?, ?>) document;
    }

    private static String settingsName(Path file) {
        return "the params file " + file.getFileName();
    }
}
