package wes.nextflow;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.Collection;

/**
 * Links from a task's folder to what lies outside of it. A TES that brings the folder back would bring copies of all the
 * inputs, which are links there; so the task writes its links down and removes them, and they are made again here.
 */
final class Links {
    static final String FILE = ".command.links";
    static final String SCRIPT_FILE = ".command.tes";
    private static final String SCRIPT = String.join(
            "\n",
            // Its arguments are folders of programs. A TES that gets files from a store makes no executables of them.
            "for folder in \"$@\"; do",
            "  for program in \"$folder\"/*; do",
            "    [[ -f $program && ! -x $program ]] || continue",
            "    mkdir -p .command.bin && cp -- \"$program\" .command.bin/ && chmod a+x -- \".command.bin/${program##*/}\"",
            "  done",
            "done",
            "[[ -d .command.bin ]] && export PATH=\"$PWD/.command.bin:$PATH\"",
            // Nextflow's own script hands its stdout on as stderr, and its stderr as stdout.
            "bash .command.run 3>&1 1>&2 2>&3 3>&-",
            "status=$?",
            "rm -rf .command.bin",
            "shopt -s globstar dotglob nullglob",
            "here=$(pwd -P)",
            "for link in **; do",
            "  [[ -L $link ]] || continue",
            "  target=$(readlink -f -- \"$link\") || target=$(readlink -- \"$link\") || continue",
            "  [[ $target/ == \"$here\"/* ]] && continue",
            "  printf '%s\\0%s\\0' \"$link\" \"$target\" >> " + FILE,
            "  links+=(\"$link\")",
            "done",
            // Only now: a link may lead outside by way of another one.
            "[[ ${links[*]} ]] && rm -f -- \"${links[@]}\"",
            // Where a store takes the whole folder, only what is declared is to go there. After a failure all of it helps.
            "undeclared() {",
            "  local LC_ALL=C file",
            "  for file in **; do",
            "    if [[ $file =~ $declared ]]; then",
            // It leads to what may not be declared itself.
            "      [[ -L $file ]] && return",
            "    elif [[ ! -d $file || -L $file ]]; then",
            "      others+=(\"$file\")",
            "    fi",
            "  done",
            "  [[ ${others[*]} ]] && rm -f -- \"${others[@]}\"",
            "}",
            "[[ $status == 0 && $WES_FILES == store && $declared ]] && undeclared",
            "exit $status",
            "");

    private Links() {}

    /** What the task is started by; {@code outputs} are the names of the files that its process declares. */
    static String script(Collection<String> outputs) {
        String declared = DeclaredOutputs.pattern(outputs).replace("'", "'\\''");
        return "declared='" + declared + "'\n" + SCRIPT;
    }

    /**
     * Does nothing where there is no list, or where something lies in a link's place. The list stays: who reuses what the
     * task left has no links.
     */
    static void restore(Path folder) throws IOException {
        Path list = folder.resolve(FILE);
        if (!Files.isRegularFile(list, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        String[] parts = new String(Files.readAllBytes(list), StandardCharsets.UTF_8).split("\0");
        for (int i = 0; i + 1 < parts.length; i += 2) {
            Path link = folder.resolve(parts[i]).normalize();
            if (link.startsWith(folder) && !Files.exists(link, LinkOption.NOFOLLOW_LINKS)) {
                Files.createDirectories(link.getParent());
                Files.createSymbolicLink(link, Path.of(parts[i + 1]));
            }
        }
    }
}
