package wes.nextflow;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import nextflow.processor.TaskRun;
import org.codehaus.groovy.runtime.InvokerHelper;

/**
 * What a task is known by, also when the engine is started again. Nextflow's own hash of a task is another one then, as
 * the folder that goes with it is taken by the task of before; so it is the hash of script, container and inputs, from
 * before a free folder is looked for.
 */
final class StepKey {
    private static final Map<String, Integer> SENT = new ConcurrentHashMap<>();

    private StepKey() {}

    static String of(TaskRun task) {
        String key = task.getProcessor().getName() + "#" + task.getConfig().getAttempt() + ":" + work(task);
        int number = SENT.merge(key, 1, Integer::sum);
        // Two tasks of a workflow may do the same.
        return number == 1 ? key : key + "." + number;
    }

    private static Object work(TaskRun task) {
        try {
            return InvokerHelper.invokeMethod(task.getProcessor(), "createTaskHashKey", task);
        } catch (RuntimeException error) {
            // Another version of Nextflow: its tasks are then known while the engine runs.
            return task.getHash();
        }
    }
}
