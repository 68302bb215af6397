"""A WDL runtime section as the resources of a TES task (TES 1.1.0, tesResources)."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

GIGABYTE = 1_000_000_000
SIZE = re.compile(r"(?:\S+\s+)?(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)?(?:\s+(?:HDD|SSD|LOCAL))?", re.IGNORECASE)
UNITS = {"": 2**30, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def resources_of(runtime: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """Only what the task asks for.

    `runtime`: as miniwdl has checked it, `memory_reservation` in bytes. A task of which `preemptible` attempts may be
    on a machine that can be taken away asks for one that can't after these.
    """
    wanted: dict[str, Any] = {}
    if "cpu" in runtime:
        wanted["cpu_cores"] = int(runtime["cpu"])
    if "memory_reservation" in runtime:
        wanted["ram_gb"] = round(runtime["memory_reservation"] / GIGABYTE, 6)
    if "disks" in runtime:
        wanted["disk_gb"] = round(disk_bytes(runtime["disks"]) / GIGABYTE, 6)
    if runtime.get("zones"):
        wanted["zones"] = list(runtime["zones"])
    if "preemptible" in runtime:
        wanted["preemptible"] = attempt <= runtime["preemptible"]
    return wanted


def disk_bytes(disks: object) -> int:
    """The sum of what is asked for: `100`, `"10 GiB"`, `"/mnt/data 10 GiB"`, `"local-disk 100 SSD"` or a list of them.

    A number without a unit is of GiB (WDL 1.1, disks). `ValueError` says which part is no size.
    """
    if isinstance(disks, int | float):
        return round(disks * 2**30)
    parts = disks.split(",") if isinstance(disks, str) else disks
    if not isinstance(parts, Sequence):
        raise ValueError(  # noqa: TRY004 - of the workflow, not of this program
            f"runtime.disks is not a size: {disks}"
        )
    return sum(_one(str(part)) for part in parts)


def _one(text: str) -> int:
    found = SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"runtime.disks is not a size: {text.strip()}")
    unit = (found[2] or "").upper().removesuffix("B") if (found[2] or "").upper() != "B" else "B"
    factor = BINARY[unit[0]] if unit.endswith("I") else UNITS[unit]
    return round(float(found[1]) * factor)
