"""What a job asks for, as TES resources (TES 1.1.0, tesResources)."""

from collections.abc import Mapping
from typing import Any

MB_PER_GB = 1000
SECONDS_PER_MINUTE = 60
GPUS = ("gpu", "gpus", "nvidia_gpu")


def tes_resources(threads: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the rule says: one thread is what every rule has that says nothing.

    TES has no field for graphics cards: their number is a backend parameter.
    """
    found: dict[str, Any] = {"cpu_cores": int(threads)} if threads > 1 else {}
    for name, field in (("mem_mb", "ram_gb"), ("disk_mb", "disk_gb")):
        amount = _number(wanted.get(name))
        if amount is not None:
            found[field] = amount / MB_PER_GB
    gpus = next((count for name in GPUS if (count := _number(wanted.get(name)))), None)
    if gpus:
        found["backend_parameters"] = {"gpu": str(int(gpus))}
    return found


def time_limit(wanted: Mapping[str, Any]) -> float | None:
    """Seconds; Snakemake's `runtime` is minutes."""
    minutes = _number(wanted.get("runtime"))
    return minutes * SECONDS_PER_MINUTE if minutes else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None
