package wes.nextflow;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import nextflow.cli.Launcher;

/** {@code Main SETTINGS ARGUMENTS...}: makes the run's folder ready and starts Nextflow with the arguments. */
public final class Main {
    private static final List<String> CONFIG = List.of("nextflow.config");

    private Main() {}

    public static void main(String[] arguments) throws IOException {
        Settings settings = new Settings(Path.of(arguments[0]));
        Settings.current = settings;
        Files.createDirectories(settings.own());
        linkAttachments(settings);
        copyBin(settings);
        InstalledPlugins.makeDefaults(settings.plugins);
        String[] nextflows = Arrays.copyOfRange(arguments, 1, arguments.length);
        try {
            LaunchFiles.writeUserConfig(settings);
            LaunchFiles.addParams(settings, nextflows);
        } catch (IllegalArgumentException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
        Launcher.main(nextflows);
    }

    /**
     * Relative names in params, sample sheets and configs mean files beside the workflow, as when Nextflow is started
     * there by hand; the launch folder must be writable, so it holds links to them.
     */
    private static void linkAttachments(Settings settings) throws IOException {
        boolean projectIsLaunchFolder = settings.project.equals(settings.attachments);
        try (Stream<Path> entries = Files.list(settings.attachments)) {
            for (Path entry : (Iterable<Path>) entries::iterator) {
                String name = entry.getFileName().toString();
                Path link = settings.work.resolve(name);
                // The project's own config is read from the project; a second time would be once too often.
                boolean twice = projectIsLaunchFolder && CONFIG.contains(name);
                if (!twice && !Launched.RESERVED.contains(name) && !exists(link)) {
                    Files.createSymbolicLink(link, entry);
                }
            }
        }
    }

    /** Attachments carry no permission bits, so that what is in bin/ could not be executed where it lies. */
    private static void copyBin(Settings settings) throws IOException {
        Path source = settings.project.resolve("bin");
        if (!Files.isDirectory(source)) {
            return;
        }
        try (Stream<Path> files = Files.walk(source)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = Launched.bin(settings).resolve(source.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(target);
                } else if (!exists(target)) {
                    Files.copy(file, target);
                    target.toFile().setExecutable(true, false);
                    target.toFile().setReadable(true, false);
                }
            }
        }
    }

    private static boolean exists(Path path) {
        return Files.exists(path, java.nio.file.LinkOption.NOFOLLOW_LINKS);
    }
}
