package wes.nextflow;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * The outputs that a process declares, as one pattern for bash ({@code =~}, POSIX extended, bytes). It matches each path
 * of the task's folder that is one, lies in one, or is Nextflow's own; and rather too many than too few.
 */
final class DeclaredOutputs {
    private static final String NEXTFLOWS = "\\.command\\.[^/]*|\\.exitcode";
    /** A character has up to four bytes. */
    private static final String CHARACTER = "[^/]{1,4}";

    private DeclaredOutputs() {}

    /** Of names as Nextflow's own executors for clouds get them: globs, or literal where a process says so. */
    static String pattern(Collection<String> names) {
        List<String> patterns = new ArrayList<>(List.of(NEXTFLOWS));
        for (String name : names) {
            String path = name.replaceAll("^(\\./)+", "").replaceAll("/+$", "");
            patterns.add(literal(path));
            patterns.add(glob(path));
        }
        return "^(" + String.join("|", patterns) + ")(/|$)";
    }

    /** Of java.nio's globs. */
    private static String glob(String text) {
        StringBuilder pattern = new StringBuilder();
        boolean inGroup = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            int end = c == '[' ? text.indexOf(']', i + 2) : -1;
            if (c == '\\' && i + 1 < text.length()) {
                pattern.append(literal(text.substring(i + 1, i + 2)));
                i++;
            } else if (text.startsWith("**/", i)) {
                pattern.append("(.*/)?");
                i += 2;
            } else if (text.startsWith("**", i)) {
                pattern.append(".*");
                i++;
            } else if (c == '*') {
                pattern.append("[^/]*");
            } else if (c == '?') {
                pattern.append(CHARACTER);
            } else if (end > 0) {
                pattern.append(CHARACTER);
                i = end;
            } else if (c == '{' && !inGroup && text.indexOf('}', i) > 0) {
                pattern.append('(');
                inGroup = true;
            } else if (inGroup && c == '}') {
                pattern.append(')');
                inGroup = false;
            } else if (inGroup && c == ',') {
                pattern.append('|');
            } else {
                pattern.append(literal(String.valueOf(c)));
            }
        }
        return pattern.toString();
    }

    private static String literal(String text) {
        return text.replaceAll("[\\\\.^$+()|\\[\\]{}*?]", "\\\\$0");
    }
}
