package wes.nextflow;

import java.util.Collection;
import java.util.List;
import nextflow.Session;
import nextflow.exception.AbortOperationException;
import nextflow.executor.Executor;
import nextflow.executor.ExecutorFactory;
import nextflow.plugin.Plugins;
import nextflow.script.BodyDef;
import nextflow.script.ProcessConfig;

/** Whatever executor a workflow or its config names: it is the TES. */
final class Executors extends ExecutorFactory {
    private final Class<? extends Executor> executor;

    Executors(Class<? extends Executor> executor) {
        super(Plugins.getManager());
        this.executor = executor;
    }

    @Override
    protected Class<? extends Executor> getExecutorClass(String name) {
        return executor;
    }

    @Override
    public Executor getExecutor(String process, ProcessConfig config, BodyDef script, Session session) {
        Object secrets = config.get("secret");
        if (secrets instanceof Collection && !((Collection<?>) secrets).isEmpty()) {
            // Without them a task would run, and do something else.
            List<String> names = ((Collection<?>) secrets).stream().map(String::valueOf).toList();
            throw new AbortOperationException("The process " + process + " asks for secrets of Nextflow ("
                    + String.join(", ", names) + "), which this server does not keep: hand it a file with what it needs");
        }
        // A TES knows no arrays of tasks; each of them does the same alone.
        config.remove("array");
        return super.getExecutor(process, config, script, session);
    }
}
