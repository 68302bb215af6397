package wes.nextflow;

import groovy.json.JsonSlurper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/** One run as the adapter describes it, in a file that the workflow can't write to. */
final class Settings {
    static Settings current;

    final String tesUrl;
    final String token;
    final String defaultImage;
    final int parallel;
    /** Of each plugin of Nextflow that is there the newest version, which a config means that names none. */
    final Map<String, Object> plugins;
    /** Whether the plugin nf-ga4gh sends the tasks. */
    final boolean ga4gh;
    /** More params, or null. */
    final Path paramsFile;
    /** A config below all others, or null. */
    final Path userConfig;
    final Path work;
    final Path attachments;
    final Path project;

    @SuppressWarnings("unchecked")
    Settings(Path file) throws IOException {
        Map<String, Object> document = (Map<String, Object>) new JsonSlurper().parseText(Files.readString(file));
        tesUrl = text(document, "tes_url");
        token = Files.readString(Path.of(text(document, "token_file"))).strip();
        defaultImage = text(document, "default_image");
        parallel = ((Number) document.get("parallel")).intValue();
        ga4gh = Boolean.TRUE.equals(document.get("ga4gh"));
        plugins = document.get("plugins") instanceof Map ? (Map<String, Object>) document.get("plugins") : Map.of();
        paramsFile = path(document, "params_file");
        userConfig = path(document, "user_config");
        work = Path.of(text(document, "work"));
        attachments = Path.of(text(document, "attachments"));
        project = Path.of(text(document, "project"));
    }

    /** What this project keeps for itself in the run's folder. */
    Path own() {
        return work.resolve(".wes");
    }

    private static Path path(Map<String, Object> document, String name) {
        return document.get(name) == null ? null : Path.of(text(document, name));
    }

    private static String text(Map<String, Object> document, String name) {
        Object value = document.get(name);
        if (value == null) {
            throw new IllegalArgumentException("the settings have no " + name);
        }
        return value.toString();
    }
}
