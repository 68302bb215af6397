package wes.nextflow;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import nextflow.executor.res.AcceleratorResource;
import nextflow.processor.TaskBean;
import nextflow.processor.TaskConfig;
import nextflow.processor.TaskRun;

/** A task of Nextflow as a task of a TES (TES 1.1.0, tesTask). Paths are the same inside and outside. */
final class TaskDocument {
    private static final double GIGABYTE = 1e9;
    private static final int MOST_ENTRIES = 20_000;

    private final TaskRun task;
    private final TaskBean bean;
    private final RemoteInputs remote;
    private final Settings settings;
    private final Map<String, Map<String, Object>> inputs = new LinkedHashMap<>();

    TaskDocument(TaskRun task, TaskBean bean, RemoteInputs remote, Settings settings) {
        this.task = task;
        this.bean = bean;
        this.remote = remote;
        this.settings = settings;
    }

    /** To be called when the task's scripts are in its folder. */
    Map<String, Object> build() throws IOException {
        addScripts();
        for (Path path : bean.getInputFiles().values()) {
            String url = remote.url(path);
            if (url == null) {
                addInput(path.toAbsolutePath().normalize());
            } else {
                inputs.put(path.toString(), Map.of("url", url, "path", path.toString(), "type", "FILE"));
            }
        }
        for (Path path : bean.getBinDirs()) {
            addInput(path.toAbsolutePath().normalize());
        }
        Map<String, Object> document = new LinkedHashMap<>();
        document.put("name", task.getName());
        document.put("inputs", new ArrayList<>(inputs.values()));
        document.put("outputs", outputs());
        document.put("executors", List.of(executor()));
        document.put("tags", tags());
        Map<String, Object> resources = resources();
        if (!resources.isEmpty()) {
            document.put("resources", resources);
        }
        return document;
    }

    private void addScripts() throws IOException {
        try (Stream<Path> files = Files.list(task.getWorkDir())) {
            files.filter(file -> file.getFileName().toString().startsWith(".command."))
                    .sorted()
                    .forEach(file -> put(file, file, false));
        }
    }

    private void addInput(Path path) throws IOException {
        // The workflow's to judge: a file that is not there stands for an input that was left out (NO_FILE).
        if (!Files.exists(path)) {
            return;
        }
        // What a name leads to may lie elsewhere, in another task's folder: the task sees it under the name.
        Path real = path.toRealPath();
        boolean folder = Files.isDirectory(real);
        put(path, real, folder);
        if (folder) {
            addLinked(real);
        }
    }

    /** Links in a folder lead nowhere in a container unless what they point to is there too. */
    private void addLinked(Path folder) throws IOException {
        List<Path> links;
        try (Stream<Path> entries = Files.walk(folder)) {
            links = entries.limit(MOST_ENTRIES).filter(Files::isSymbolicLink).toList();
        }
        for (Path link : links) {
            Path target = link.resolveSibling(Files.readSymbolicLink(link)).normalize();
            if (Files.exists(target) && !target.startsWith(folder) && !inputs.containsKey(target.toString())) {
                addInput(target);
            }
        }
    }

    private void put(Path path, Path source, boolean folder) {
        inputs.putIfAbsent(
                path.toString(),
                Map.of("url", url(source), "path", path.toString(), "type", folder ? "DIRECTORY" : "FILE"));
    }

    private List<Map<String, Object>> outputs() {
        List<Map<String, Object>> outputs = new ArrayList<>();
        outputs.add(folder(task.getWorkDir()));
        Path target = bean.getTargetDir();
        if (target != null && !target.equals(task.getWorkDir())) {
            outputs.add(folder(target));
        }
        return outputs;
    }

    private static Map<String, Object> folder(Path path) {
        return Map.of("url", url(path), "path", path.toString(), "type", "DIRECTORY");
    }

    private Map<String, Object> executor() {
        String image = bean.getContainerImage();
        boolean none = image == null || image.isBlank();
        List<String> command = new ArrayList<>(List.of("bash", Links.SCRIPT_FILE));
        bean.getBinDirs().forEach(path -> command.add(path.toAbsolutePath().normalize().toString()));
        return Map.of(
                "image", none ? settings.defaultImage : image.replaceFirst("^docker://", ""),
                "command", command,
                "workdir", task.getWorkDir().toString());
    }

    private Map<String, String> tags() {
        return Map.of(
                "wes.step", task.getName(),
                "wes.outputs", "declared",
                "wes.step_key", StepKey.of(task),
                "wes.attempt", String.valueOf(task.getConfig().getAttempt()));
    }

    /** Only what the workflow asks for: Nextflow's defaults would be limits on a TES. */
    private Map<String, Object> resources() {
        TaskConfig config = task.getConfig();
        Map<String, Object> wanted = new LinkedHashMap<>();
        if (config.hasCpus()) {
            wanted.put("cpu_cores", config.getCpus());
        }
        if (config.getMemory() != null) {
            wanted.put("ram_gb", config.getMemory().toBytes() / GIGABYTE);
        }
        if (config.getDisk() != null) {
            wanted.put("disk_gb", config.getDisk().toBytes() / GIGABYTE);
        }
        if (config.getAccelerator() != null) {
            wanted.put("backend_parameters", accelerator(config.getAccelerator()));
        }
        return wanted;
    }

    /** The TES has no field for it: the backend parameter that all engines here use. */
    private static Map<String, Object> accelerator(AcceleratorResource wanted) {
        Map<String, Object> parameters = new LinkedHashMap<>();
        if (wanted.getRequest() != null && wanted.getRequest() > 0) {
            parameters.put("gpu", String.valueOf(wanted.getRequest()));
        }
        if (wanted.getType() != null) {
            parameters.put("gpu_type", wanted.getType());
        }
        return parameters;
    }

    /** Without the slash that Java puts behind a folder. */
    static String url(Path path) {
        return path.toUri().toString().replaceAll("/+$", "");
    }

    static boolean exists(Path path) {
        return Files.exists(path, LinkOption.NOFOLLOW_LINKS);
    }
}
