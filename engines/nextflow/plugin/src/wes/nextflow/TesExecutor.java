package wes.nextflow;

import java.nio.file.Files;
import java.nio.file.Path;
import nextflow.executor.Executor;
import nextflow.executor.SupportedScriptTypes;
import nextflow.processor.TaskHandler;
import nextflow.processor.TaskMonitor;
import nextflow.processor.TaskRun;
import nextflow.script.ScriptType;
import nextflow.util.ServiceName;
import org.pf4j.ExtensionPoint;

/** Sends every task to the TES; code that is Groovy and no script runs here, as there is nothing to send. */
@ServiceName("tes")
@SupportedScriptTypes({ScriptType.SCRIPTLET, ScriptType.GROOVY})
public class TesExecutor extends Executor implements ExtensionPoint {
    private Settings settings;
    private TesClient client;

    @Override
    protected TaskMonitor createTaskMonitor() {
        settings = Settings.current;
        client = new TesClient(settings.tesUrl, settings.token);
        return new TesMonitor(getSession(), getName(), settings.parallel);
    }

    @Override
    public TaskHandler createTaskHandler(TaskRun task) {
        if (task.getType() == ScriptType.GROOVY) {
            return new CodeHandler(task, this);
        }
        return new TesTaskHandler(task, client, settings, this::signal);
    }

    @Override
    public Path getBinDir() {
        Path own = Launched.bin(Settings.current);
        return Files.isDirectory(own) ? own : super.getBinDir();
    }

    @Override
    public boolean isForeignFile(Path path) {
        return !RemoteInputs.isRemote(path) && super.isForeignFile(path);
    }

    @Override
    public boolean isContainerNative() {
        return true;
    }

    @Override
    public String containerConfigEngine() {
        return "docker";
    }
}
