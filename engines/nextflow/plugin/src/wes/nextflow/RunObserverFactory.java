package wes.nextflow;

import java.util.Collection;
import java.util.List;
import nextflow.Session;
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
        session.setExecutorFactory(new Executors(settings.ga4gh ? Ga4gh.executor() : TesExecutor.class));
        return List.of(new RunObserver(settings));
    }
}
