package wes.nextflow;

import groovy.json.JsonOutput;
import groovy.lang.Closure;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import nextflow.Session;
import nextflow.processor.ErrorStrategy;
import nextflow.processor.TaskProcessor;
import nextflow.processor.TaskRun;
import nextflow.script.ScriptType;
import nextflow.trace.TraceObserverV2;
import nextflow.trace.event.FilePublishEvent;
import nextflow.trace.event.TaskEvent;
import nextflow.trace.event.WorkflowOutputEvent;

/** Keeps the run's progress, its outputs and what a person should know of it in files for the worker. */
final class RunObserver implements TraceObserverV2 {
    private static final Set<String> OWN_EXECUTORS = Set.of("tes", "local");

    private final Settings settings;
    private final Set<Object> pending = new LinkedHashSet<>();
    private final Set<Object> running = new LinkedHashSet<>();
    private final Set<String> published = new LinkedHashSet<>();
    private final Set<String> notes = new LinkedHashSet<>();
    private final Map<String, Object> named = new LinkedHashMap<>();
    private int done;
    private int failed;
    private int cached;

    RunObserver(Settings settings) {
        this.settings = settings;
    }

    @Override
    public void onFlowCreate(Session session) {}

    @Override
    public synchronized void onFlowBegin() {
        writeProgress();
    }

    @Override
    public synchronized void onProcessCreate(TaskProcessor process) {
        if (process.getTaskBody().getType() == ScriptType.GROOVY) {
            note("The process " + process.getName() + " has an exec: block: it runs inside the engine, not as a task.");
        }
        Object asked = process.getConfig().get("executor");
        if (asked != null && !OWN_EXECUTORS.contains(asked.toString())) {
            note("The process " + process.getName() + " asks for the executor '" + asked + "': it runs as TES tasks.");
        }
        noteWhatIsLeftOut(process);
    }

    /** What a TES can't be told, so that nobody looks for its effect. */
    private void noteWhatIsLeftOut(TaskProcessor process) {
        Object options = process.getConfig().get("containerOptions");
        if (options != null) {
            String text = options instanceof Closure ? "" : " (" + options + ")";
            note("The process " + process.getName() + " has containerOptions" + text + ": a TES can't be told them.");
        }
        if (process.getConfig().get("conda") != null && process.getConfig().get("container") == null) {
            note("The process " + process.getName() + " names a conda environment and no container: no environment is "
                    + "made, it runs in the default image.");
        }
    }

    @Override
    public void onProcessTerminate(TaskProcessor process) {}

    @Override
    public synchronized void onTaskPending(TaskEvent event) {
        pending.add(event.getHandler());
        writeProgress();
    }

    @Override
    public void onTaskSubmit(TaskEvent event) {}

    @Override
    public synchronized void onTaskStart(TaskEvent event) {
        if (pending.remove(event.getHandler())) {
            running.add(event.getHandler());
            writeProgress();
        }
    }

    @Override
    public synchronized void onTaskComplete(TaskEvent event) {
        boolean known = pending.remove(event.getHandler()) | running.remove(event.getHandler());
        TaskRun task = event.getHandler().getTask();
        if (!known || task.getAborted()) {
            return;
        }
        if (!task.getFailed()) {
            done++;
        } else if (task.getErrorAction() != ErrorStrategy.RETRY) {
            failed++;
        }
        writeProgress();
    }

    @Override
    public synchronized void onTaskCached(TaskEvent event) {
        cached++;
        writeProgress();
    }

    @Override
    public boolean enableMetrics() {
        return false;
    }

    @Override
    public void onFlowError(TaskEvent event) {}

    @Override
    public synchronized void onFilePublish(FilePublishEvent event) {
        published.add(event.getTarget().toAbsolutePath().normalize().toString());
    }

    @Override
    public synchronized void onWorkflowOutput(WorkflowOutputEvent event) {
        Object value = event.getValue() == null ? event.getIndex() : event.getValue();
        named.put(event.getName(), document(value));
    }

    @Override
    public synchronized void onFlowComplete() {
        Map<String, Object> outputs = new LinkedHashMap<>();
        outputs.put("published", new ArrayList<>(published));
        outputs.put("named", named);
        write("outputs.json", JsonOutput.toJson(outputs));
    }

    /** A value of the workflow with its paths as File and Directory objects. */
    private static Object document(Object value) {
        if (value instanceof Path) {
            Path path = ((Path) value).toAbsolutePath().normalize();
            return Map.of(
                    "class", Files.isDirectory(path) ? "Directory" : "File",
                    "location", TaskDocument.url(path),
                    "basename", path.getFileName().toString());
        }
        if (value instanceof Map) {
            Map<String, Object> result = new LinkedHashMap<>();
            ((Map<?, ?>) value).forEach((key, item) -> result.put(String.valueOf(key), document(item)));
            return result;
        }
        if (value instanceof Collection) {
            List<Object> result = new ArrayList<>();
            ((Collection<?>) value).forEach(item -> result.add(document(item)));
            return result;
        }
        return value == null || value instanceof Number || value instanceof Boolean ? value : value.toString();
    }

    private void writeProgress() {
        Map<String, Object> progress = new LinkedHashMap<>();
        progress.put("known", pending.size() + running.size() + done + failed + cached);
        progress.put("running", running.size());
        progress.put("done", done);
        progress.put("failed", failed);
        progress.put("cached", cached);
        write("progress.json", JsonOutput.toJson(progress));
    }

    private void write(String name, String text) {
        Path unfinished = settings.own().resolve("." + name);
        try {
            Files.writeString(unfinished, text);
            Files.move(unfinished, settings.own().resolve(name), StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void note(String line) {
        notes.add(line);
        write("notes.json", JsonOutput.toJson(notes));
    }
}
