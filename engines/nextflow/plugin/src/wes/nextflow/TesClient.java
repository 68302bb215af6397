package wes.nextflow;

import groovy.json.JsonOutput;
import groovy.json.JsonSlurper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/** A TES server (TES 1.1.0) as an engine uses it. */
final class TesClient {
    static final Set<String> TERMINAL = Set.of("COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED");
    private static final Duration REQUEST = Duration.ofSeconds(60);
    private static final Duration CANCEL = Duration.ofSeconds(2);
    private static final int LONG_POLL_SECONDS = 30;
    private static final long FIRST_PAUSE = 30;
    private static final long LONGEST_PAUSE = 1_000;
    private static final long PATIENCE = TimeUnit.MINUTES.toMillis(10);
    private static final int CLIENT_ERROR = 400;
    private static final int SERVER_ERROR = 500;
    private static final int TOO_MANY_REQUESTS = 429;

    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(Duration.ofSeconds(20)).build();
    private final String base;
    private final String authorization;

    /** {@code base} is the URL that {@code /tasks} follows. */
    TesClient(String base, String token) {
        this.base = base.replaceAll("/+$", "");
        this.authorization = "Bearer " + token;
    }

    /** The id of the new task; a TES that is away is asked again for ten minutes, one that refuses is not. */
    String create(Map<String, Object> task) throws IOException, InterruptedException {
        HttpRequest request = request("/tasks", REQUEST)
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(JsonOutput.toJson(task)))
                .build();
        long end = System.currentTimeMillis() + PATIENCE;
        for (long pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, 10 * LONGEST_PAUSE)) {
            try {
                return String.valueOf(read(http.send(request, BodyHandlers.ofString())).get("id"));
            } catch (IOException error) {
                if (error instanceof Refused || System.currentTimeMillis() > end) {
                    throw error;
                }
            }
            Thread.sleep(pause);
        }
    }

    /** Waits at most two seconds. */
    void cancel(String id) throws IOException, InterruptedException {
        HttpRequest request = request(path(id) + ":cancel", CANCEL).POST(BodyPublishers.ofString("{}")).build();
        http.send(request, BodyHandlers.discarding());
    }

    /** Follows a task: {@code state} is told each new state, {@code end} the FULL view, or why there is none. */
    void follow(String id, Consumer<String> state, Consumer<Map<String, Object>> end, Consumer<Throwable> lost) {
        new Watch(id, state, end, lost).look();
    }

    private final class Watch {
        private final String id;
        private final Consumer<String> state;
        private final Consumer<Map<String, Object>> end;
        private final Consumer<Throwable> lost;
        private long answered = System.currentTimeMillis();
        private long pause = FIRST_PAUSE;
        private String before = "";

        Watch(String id, Consumer<String> state, Consumer<Map<String, Object>> end, Consumer<Throwable> lost) {
            this.id = id;
            this.state = state;
            this.end = end;
            this.lost = lost;
        }

        void look() {
            long asked = System.currentTimeMillis();
            get("MINIMAL").whenComplete((view, error) -> {
                if (error != null) {
                    again(error, this::look);
                } else {
                    seen(String.valueOf(view.get("state")), System.currentTimeMillis() - asked);
                }
            });
        }

        private void seen(String now, long took) {
            answered = System.currentTimeMillis();
            if (TERMINAL.contains(now)) {
                whole();
                return;
            }
            pause = now.equals(before) ? Math.min(pause * 3 / 2, LONGEST_PAUSE) : FIRST_PAUSE;
            before = now;
            state.accept(now);
            // A server that waits with its answer, as it was asked to, paces this by itself.
            later(took > LONGEST_PAUSE ? 0 : pause, this::look);
        }

        private void whole() {
            get("FULL").whenComplete((view, error) -> {
                if (error != null) {
                    again(error, this::whole);
                } else {
                    end.accept(view);
                }
            });
        }

        private void again(Throwable error, Runnable what) {
            Throwable cause = error.getCause() == null ? error : error.getCause();
            if (cause instanceof Refused || System.currentTimeMillis() - answered > PATIENCE) {
                lost.accept(cause);
            } else {
                pause = Math.min(pause * 2, 10 * LONGEST_PAUSE);
                later(pause, what);
            }
        }

        private CompletableFuture<Map<String, Object>> get(String view) {
            HttpRequest request = request(path(id) + "?view=" + view, REQUEST.plusSeconds(LONG_POLL_SECONDS))
                    .header("Prefer", "wait=" + (view.equals("MINIMAL") ? LONG_POLL_SECONDS : 0))
                    .build();
            return http.sendAsync(request, BodyHandlers.ofString()).thenApply(TesClient::readUnchecked);
        }

        private void later(long milliseconds, Runnable what) {
            Executor delayed = CompletableFuture.delayedExecutor(milliseconds, TimeUnit.MILLISECONDS);
            CompletableFuture.runAsync(what, delayed);
        }
    }

    private HttpRequest.Builder request(String path, Duration timeout) {
        return HttpRequest.newBuilder(URI.create(base + path))
                .timeout(timeout)
                .header("Authorization", authorization)
                .header("Accept", "application/json");
    }

    private static String path(String id) {
        return "/tasks/" + URLEncoder.encode(id, StandardCharsets.UTF_8);
    }

    private static Map<String, Object> readUnchecked(HttpResponse<String> response) {
        try {
            return read(response);
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> read(HttpResponse<String> response) throws IOException {
        int status = response.statusCode();
        if (status >= SERVER_ERROR || status == TOO_MANY_REQUESTS) {
            throw new IOException("the TES answered HTTP " + status);
        }
        Object document = new JsonSlurper().parseText(response.body().isBlank() ? "{}" : response.body());
        if (status >= CLIENT_ERROR) {
            throw new Refused(status, document instanceof Map ? (Map<String, Object>) document : Map.of());
        }
        return (Map<String, Object>) document;
    }

    /** The TES does not take this request, now or later. */
    static final class Refused extends IOException {
        private static final long serialVersionUID = 1L;

        Refused(int status, Map<String, Object> answer) {
            super("the TES refused it (HTTP " + status + "): " + message(answer));
        }

        private static Object message(Map<String, Object> answer) {
            for (String name : new String[] {"msg", "detail", "message", "error", "title"}) {
                if (answer.get(name) != null) {
                    return answer.get(name);
                }
            }
            return "no reason given";
        }
    }
}
