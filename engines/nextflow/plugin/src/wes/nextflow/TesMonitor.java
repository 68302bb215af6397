package wes.nextflow;

import java.util.Map;
import nextflow.Session;
import nextflow.processor.TaskPollingMonitor;
import nextflow.util.Duration;

/** Looks at its tasks at once when one of them signals a change; now and then all the same, to see the run end. */
final class TesMonitor extends TaskPollingMonitor {
    TesMonitor(Session session, String name, int parallel) {
        super(parameters(session, name, parallel));
    }

    private static Map<String, Object> parameters(Session session, String name, int parallel) {
        return Map.of(
                "session", session,
                "name", name,
                "capacity", parallel,
                "pollInterval", Duration.of("100ms"),
                "dumpInterval", Duration.of("5min"));
    }
}
