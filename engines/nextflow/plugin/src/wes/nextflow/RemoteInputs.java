package wes.nextflow;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.regex.Pattern;
import nextflow.extension.FilesEx;

/** Inputs of a task that lie at a URL: they are not fetched here, the TES puts them where the task looks for them. */
final class RemoteInputs {
    private static final Set<String> SCHEMES = Set.of("http", "https", "ftp", "s3", "gs");
    private static final Pattern NAME = Pattern.compile("[A-Za-z0-9_][A-Za-z0-9._+-]{0,200}");

    private final Map<String, Path> inputs = new LinkedHashMap<>();
    private final Map<Path, String> urls = new LinkedHashMap<>();

    /** {@code inputs}: of a task, by the names that it knows them by. */
    RemoteInputs(Map<String, Path> inputs, Settings settings) {
        for (Map.Entry<String, Path> input : inputs.entrySet()) {
            Path path = input.getValue();
            if (isRemote(path)) {
                String url = FilesEx.toUriString(path);
                path = place(url, path.getFileName(), settings);
                urls.put(path, url);
            }
            this.inputs.put(input.getKey(), path);
        }
    }

    static boolean isRemote(Path path) {
        return SCHEMES.contains(path.getFileSystem().provider().getScheme());
    }

    /** All of them, those at a URL with the path that the task sees. */
    Map<String, Path> inputs() {
        return inputs;
    }

    /** The URL of what the task sees at a path; null for a file of the run. */
    String url(Path path) {
        return urls.get(path);
    }

    private static Path place(String url, Path fileName, Settings settings) {
        String name = String.valueOf(fileName);
        String folder = UUID.nameUUIDFromBytes(url.getBytes(StandardCharsets.UTF_8)).toString();
        return settings.own().resolve("remote").resolve(folder).resolve(NAME.matcher(name).matches() ? name : "input");
    }
}
