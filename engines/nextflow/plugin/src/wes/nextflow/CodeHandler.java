package wes.nextflow;

import nextflow.executor.Executor;
import nextflow.executor.local.NativeTaskHandler;
import nextflow.processor.TaskRun;

/** An {@code exec:} block: runs inside the engine. */
final class CodeHandler extends NativeTaskHandler {
    CodeHandler(TaskRun task, Executor executor) {
        super(task, executor);
    }
}
