"""All benchmarks, one after another: `make bench`."""

from tests.bench import (
    engines_bench,
    gateway_bench,
    run_bench,
    scale_bench,
    service_info_bench,
    store_bench,
    transfer_bench,
)

if __name__ == "__main__":
    run_bench.main()
    service_info_bench.main()
    engines_bench.main()
    store_bench.main()
    transfer_bench.main()
    gateway_bench.main()
    scale_bench.main()
