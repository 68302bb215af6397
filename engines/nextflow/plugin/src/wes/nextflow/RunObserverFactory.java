package wes.nextflow;

import java.lang.reflect.Field;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import nextflow.Session;
import nextflow.executor.ExecutorFactory;
import nextflow.trace.TraceObserverFactoryV2;
import nextflow.trace.TraceObserverV2;

/** Nextflow calls it once its executors are known and before anything of the workflow runs. */
public class RunObserverFactory implements TraceObserverFactoryV2 {
    @Override
    public Collection<TraceObserverV2> create(Session session) {
        takeOverExecutors(session.getExecutorFactory());
        return List.of(new RunObserver(Settings.current));
    }

    /** Whatever executor a workflow or its config names: it is the TES. */
    private static void takeOverExecutors(ExecutorFactory factory) {
        try {
            Field executors = ExecutorFactory.class.getDeclaredField("executorsMap");
            executors.setAccessible(true);
            executors.set(factory, new OnlyTes());
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("this version of Nextflow keeps its executors elsewhere", error);
        }
    }

    private static final class OnlyTes extends HashMap<String, Class<TesExecutor>> {
        private static final long serialVersionUID = 1L;

        @Override
        public Class<TesExecutor> get(Object name) {
            return TesExecutor.class;
        }
    }
}
