package wes.nextflow;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import nextflow.Session;
import nextflow.executor.Executor;
import nextflow.executor.ExecutorFactory;
import nextflow.trace.TraceObserverFactoryV2;
import nextflow.trace.TraceObserverV2;

/** Nextflow calls it once its executors are known and before anything of the workflow runs. */
public class RunObserverFactory implements TraceObserverFactoryV2 {
    @Override
    @SuppressWarnings("unchecked")
    public Collection<TraceObserverV2> create(Session session) {
        Settings settings = Settings.current;
        if (settings.ga4gh) {
            Ga4gh.configure(session.getConfig(), settings);
        }
        takeOverExecutors(session.getExecutorFactory(), settings.ga4gh ? Ga4gh.executor() : TesExecutor.class);
        return List.of(new RunObserver(settings));
    }

    /** Whatever executor a workflow or its config names: it is the TES. */
    private static void takeOverExecutors(ExecutorFactory factory, Class<? extends Executor> executor) {
        try {
            Field executors = ExecutorFactory.class.getDeclaredField("executorsMap");
            executors.setAccessible(true);
            executors.set(factory, new Only(executor));
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("this version of Nextflow keeps its executors elsewhere", error);
        }
    }

    private static final class Only extends HashMap<String, Class<? extends Executor>> {
        private static final long serialVersionUID = 1L;

        private final transient Class<? extends Executor> executor;

        Only(Class<? extends Executor> executor) {
            this.executor = executor;
        }

        @Override
        public Class<? extends Executor> get(Object name) {
            return executor;
        }
    }
}
