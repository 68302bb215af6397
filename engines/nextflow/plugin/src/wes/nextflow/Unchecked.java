package wes.nextflow;

/** Groovy knows no checked exceptions, and Nextflow expects some where its methods declare none. */
final class Unchecked {
    private Unchecked() {}

    /** Throws any exception; declared to return one so that callers can write {@code throw}. */
    @SuppressWarnings("unchecked")
    static <E extends Throwable> RuntimeException thrown(Throwable error) throws E {
        throw (E) error;
    }
}
