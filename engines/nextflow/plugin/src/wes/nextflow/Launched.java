package wes.nextflow;

import java.nio.file.Path;
import java.util.Set;

/** Names in the launch folder that are not the user's. */
final class Launched {
    /** Nextflow's own folders, this project's, and the one that results go to. */
    static final Set<String> RESERVED = Set.of("nxf", "results", ".nextflow", ".wes");

    private Launched() {}

    static Path bin(Settings settings) {
        return settings.own().resolve("bin");
    }
}
