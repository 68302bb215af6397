package wes.nextflow;

import java.util.OptionalInt;
import java.util.regex.Pattern;

/**
 * A task's exit status as Nextflow's own executors tell it: {@code errorStrategy} of published pipelines tries again what
 * ended as by a signal, 130 to 145.
 */
final class ExitStatus {
    /** By SIGTERM, as where a scheduler ends a task. */
    static final int TERMINATED = 143;
    /** By SIGKILL, as where memory runs out. */
    static final int KILLED = 137;

    private static final Pattern NO_MEMORY =
            Pattern.compile("oom[ -]?kill|out[ -]of[ -]memory|memory (limit|exhausted)", Pattern.CASE_INSENSITIVE);

    private ExitStatus() {}

    /** Of a task that its TES lost; of one that somebody canceled there is none. */
    static OptionalInt ofLost(String state, String systemLog) {
        if (state.equals("CANCELED")) {
            return OptionalInt.empty();
        }
        return OptionalInt.of(NO_MEMORY.matcher(systemLog).find() ? KILLED : TERMINATED);
    }

    /**
     * Of a task that ran. The wrapper script's own note counts most: some servers tell 0, or nothing, where they don't
     * know. {@code noted} and {@code told} are null where there is none.
     */
    static int of(boolean good, Integer noted, Integer told, String systemLog) {
        if (noted != null && (good || noted != 0)) {
            return noted;
        }
        if (good) {
            return told == null ? 0 : told;
        }
        if (NO_MEMORY.matcher(systemLog).find()) {
            return KILLED;
        }
        return told == null || told == 0 ? 1 : told;
    }
}
