"""A task's runtime section as TES resources and volumes (WDL 1.1, runtime; TES 1.1.0, tesResources), and what Cromwell
has in it besides. Nothing here needs miniwdl."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engines.kit.task_document import BYTES_PER_GB

DISK = re.compile(r"(?:(\S+)\s+)?(\d+(?:\.\d+)?)\s*([KMGT]i?B?|B)?(?:\s+(?:HDD|SSD|LOCAL))?", re.IGNORECASE)
DECIMAL_UNITS = {"": 2**30, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
BINARY_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
ANY_CODE = "*"


@dataclass(frozen=True, kw_only=True)
class Disk:
    """One of the disks that a task asks for: bytes, and the path where it is to be seen, if the task says so."""

    size: int
    mount_point: str | None = None


def disks_of(disks: object) -> tuple[Disk, ...]:
    """Of `100`, `"10 GiB"`, `"/mnt/data 10 GiB"`, `"local-disk 100 SSD, /mnt/data 10 SSD"` or a list of such texts.

    A number without a unit is of GiB (WDL 1.1, disks). `ValueError` says which part can't be had.
    """
    if isinstance(disks, int | float):
        return (Disk(size=round(disks * 2**30)),)
    parts = disks.split(",") if isinstance(disks, str) else disks
    if not isinstance(parts, Sequence):
        raise ValueError(  # noqa: TRY004 - of the workflow, not of this program
            f"runtime.disks is not a size: {disks}"
        )
    return tuple(_disk(str(part).strip()) for part in parts)


def _disk(text: str) -> Disk:
    match = DISK.fullmatch(text)
    if not match:
        raise ValueError(f"runtime.disks is not a size: {text}")
    unit = (match[3] or "").upper().removesuffix("B") if (match[3] or "").upper() != "B" else "B"
    factor = BINARY_UNITS[unit[0]] if unit.endswith("I") else DECIMAL_UNITS[unit]
    mount_point = match[1] if (match[1] or "").startswith("/") else None
    if mount_point is not None and (not mount_point.strip("/") or ".." in mount_point.split("/")):
        raise ValueError(f"runtime.disks: nothing can be mounted at {mount_point}")
    return Disk(size=round(float(match[2]) * factor), mount_point=mount_point)


def volumes_of(runtime: Mapping[str, Any]) -> tuple[str, ...]:
    """The mount points of a task's disks, each once (TES 1.1.0, tesTask.volumes)."""
    disks = disks_of(runtime["disks"]) if "disks" in runtime else ()
    return tuple(dict.fromkeys(disk.mount_point for disk in disks if disk.mount_point is not None))


def resources_of(runtime: Mapping[str, Any], attempt: int) -> dict[str, Any]:
    """Only what the task asks for.

    `runtime`: as miniwdl has checked it, `memory_reservation` in bytes, `gpu` the number of them. A task of which
    `preemptible` attempts may be on a machine that can be taken away asks for one that can't after these.
    """
    return dict(_resources(runtime, attempt))


def _resources(runtime: Mapping[str, Any], attempt: int) -> Iterator[tuple[str, Any]]:
    if "cpu" in runtime:
        yield "cpu_cores", int(runtime["cpu"])
    if "memory_reservation" in runtime:
        yield "ram_gb", round(runtime["memory_reservation"] / BYTES_PER_GB, 6)
    if "disks" in runtime:
        yield "disk_gb", round(sum(disk.size for disk in disks_of(runtime["disks"])) / BYTES_PER_GB, 6)
    if runtime.get("zones"):
        yield "zones", list(runtime["zones"])
    if "preemptible" in runtime:
        yield "preemptible", attempt <= runtime["preemptible"]
    if runtime.get("gpu"):
        # The TES standard has no field for graphics cards.
        yield "backend_parameters", {"gpu": str(int(runtime["gpu"]))}


def gpu_count(gpu: object, count: object) -> int:
    """How many graphics cards: of the standard's `gpu`, and of Cromwell's `gpuCount`, which says how many they are.

    `ValueError` names the one that makes no sense.
    """
    if gpu is not None and not isinstance(gpu, bool | int):
        raise ValueError(f"invalid setting of runtime.gpu, {gpu}")
    if count is None:
        return int(gpu or 0)
    try:
        return 0 if gpu is False else max(0, int(str(count)))
    except ValueError:
        raise ValueError(f"invalid setting of runtime.gpuCount, {count}") from None


def return_codes(continue_on: object) -> object:
    """Cromwell's `continueOnReturnCode` (a boolean, a number, or a list of them) as the standard's `returnCodes`."""
    word = str(continue_on).lower() if isinstance(continue_on, bool | str) else ""
    return {"true": ANY_CODE, "false": 0}.get(word, continue_on)
