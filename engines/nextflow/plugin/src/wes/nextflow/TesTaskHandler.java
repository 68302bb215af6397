package wes.nextflow;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import nextflow.exception.ProcessException;
import nextflow.executor.BashWrapperBuilder;
import nextflow.processor.TaskBean;
import nextflow.processor.TaskHandler;
import nextflow.processor.TaskRun;
import nextflow.processor.TaskStatus;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** One task on its way; what the TES says comes in on other threads, the monitor's thread reads it. */
final class TesTaskHandler extends TaskHandler {
    private static final Logger LOG = LoggerFactory.getLogger(TesTaskHandler.class);
    private static final Set<String> STARTED = Set.of("RUNNING", "PAUSED");
    private static final Set<String> RAN = Set.of("COMPLETE", "EXECUTOR_ERROR");

    private final TesClient client;
    private final Settings settings;
    private final Runnable signal;
    private final TaskBean bean;
    private final RemoteInputs remote;
    private volatile String id;
    private volatile String state = "QUEUED";
    private volatile Map<String, Object> view;
    private volatile Throwable lost;

    TesTaskHandler(TaskRun task, TesClient client, Settings settings, Runnable signal) {
        super(task);
        this.client = client;
        this.settings = settings;
        this.signal = signal;
        this.bean = new TaskBean(task);
        this.remote = new RemoteInputs(bean.getInputFiles(), settings);
        bean.setInputFiles(remote.inputs());
    }

    @Override
    public void prepareLauncher() {
        new BashWrapperBuilder(bean, null).build();
        try {
            Files.writeString(getTask().getWorkDir().resolve(Links.SCRIPT_FILE), Links.script(bean.getOutputFiles()));
        } catch (IOException error) {
            throw Unchecked.<RuntimeException>thrown(new ProcessException("the scripts of the task could not be written: " + error, error));
        }
    }

    @Override
    public void submit() {
        try {
            id = client.create(new TaskDocument(getTask(), bean, remote, settings).build());
        } catch (IOException error) {
            throw Unchecked.<RuntimeException>thrown(new ProcessException("it could not be sent: " + reason(error), error));
        } catch (InterruptedException error) {
            throw Unchecked.<RuntimeException>thrown(new ProcessException("it was not sent, as the run is ending", error));
        }
        LOG.info("[{}] {} is TES task {}", getTask().getHashLog(), getTask().getName(), id);
        setStatus(TaskStatus.SUBMITTED);
        client.follow(id, this::told, this::ended, this::lose);
    }

    private void told(String now) {
        if (!now.equals(state)) {
            state = now;
            signal.run();
        }
    }

    private void ended(Map<String, Object> whole) {
        view = whole;
        signal.run();
    }

    private void lose(Throwable why) {
        lost = why;
        signal.run();
    }

    @Override
    public boolean checkIfRunning() {
        if (isSubmitted() && (STARTED.contains(state) || over())) {
            setStatus(TaskStatus.RUNNING);
            return true;
        }
        return false;
    }

    @Override
    public boolean checkIfCompleted() {
        if (!isRunning()) {
            return false;
        }
        if (over()) {
            finish();
        } else if (tooLong()) {
            killTask();
            getTask().setError(new ProcessException("it ran for longer than its time limit of " + limit()));
            getTask().setExitStatus(ExitStatus.TERMINATED);
        } else {
            return false;
        }
        setStatus(TaskStatus.COMPLETED);
        return true;
    }

    private boolean over() {
        return view != null || lost != null;
    }

    private nextflow.util.Duration limit() {
        return getTask().getConfig().getTime();
    }

    private boolean tooLong() {
        return limit() != null && System.currentTimeMillis() - getStartTimeMillis() > limit().toMillis();
    }

    /** Where it really ran: a task that the gateway knew from before the engine was started again has a folder of its own. */
    private Path folder() {
        Object outputs = view == null ? null : view.get("outputs");
        Object first = outputs instanceof List && !((List<?>) outputs).isEmpty() ? ((List<?>) outputs).get(0) : null;
        Object path = first instanceof Map ? ((Map<?, ?>) first).get("path") : null;
        Path folder = path == null ? null : Path.of(path.toString()).normalize();
        if (folder != null && folder.startsWith(settings.work) && Files.isDirectory(folder)) {
            getTask().setWorkDir(folder);
        }
        return getTask().getWorkDir();
    }

    private void finish() {
        Path folder = folder();
        String ended = view == null ? "" : String.valueOf(view.get("state"));
        if (view == null) {
            getTask().setError(new ProcessException("its TES task " + id + " is lost: " + reason(lost)));
        } else if (!RAN.contains(ended)) {
            getTask().setError(new ProcessException("its TES task " + id + " ended as " + ended + systemLog()));
            ExitStatus.ofLost(ended, systemLog()).ifPresent(getTask()::setExitStatus);
        } else {
            Integer noted = number(read(folder.resolve(TaskRun.CMD_EXIT)));
            Integer told = number(executorLog().get("exit_code"));
            getTask().setExitStatus(ExitStatus.of(ended.equals("COMPLETE"), noted, told, systemLog()));
        }
        getTask().setStdout(folder.resolve(TaskRun.CMD_OUTFILE));
        getTask().setStderr(folder.resolve(TaskRun.CMD_ERRFILE));
        try {
            Links.restore(folder);
        } catch (IOException error) {
            getTask().setError(new ProcessException("its inputs could not be linked again: " + error, error));
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file).strip();
        } catch (IOException error) {
            return "";
        }
    }

    private static Integer number(Object value) {
        try {
            return Integer.valueOf(String.valueOf(value));
        } catch (NumberFormatException error) {
            return null;
        }
    }

    private Map<?, ?> executorLog() {
        return last(attemptLog().get("logs"));
    }

    private Map<?, ?> attemptLog() {
        return last(view.get("logs"));
    }

    private String systemLog() {
        Object lines = attemptLog().get("system_logs");
        return lines instanceof List && !((List<?>) lines).isEmpty() ? ": " + join((List<?>) lines) : "";
    }

    private static String join(List<?> lines) {
        return String.join("; ", lines.stream().map(String::valueOf).toList());
    }

    private static Map<?, ?> last(Object items) {
        if (items instanceof List && !((List<?>) items).isEmpty()) {
            List<?> list = (List<?>) items;
            Object item = list.get(list.size() - 1);
            return item instanceof Map ? (Map<?, ?>) item : Map.of();
        }
        return Map.of();
    }

    private static String reason(Throwable error) {
        return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    }

    @Override
    protected void killTask() {
        if (id == null || view != null) {
            return;
        }
        try {
            client.cancel(id);
        } catch (IOException error) {
            LOG.warn("TES task {} could not be canceled: {}", id, reason(error));
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
        }
    }
}
