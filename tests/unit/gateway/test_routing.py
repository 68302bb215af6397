"""Which TES a task goes to: one table."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from common.configuration import TesServer
from gateway.routing import Candidate, Unroutable, route


def server(name: str, *, open_tasks: int = 0, sent: int = 0, is_sick: bool = False, **keys: Any) -> Candidate:
    made = TesServer(name=name, url=f"http://{name}/v1", **keys)
    return Candidate(server=made, open_tasks=open_tasks, sent=sent, is_sick=is_sick)


def reads(*urls: str) -> dict[str, Any]:
    return {"inputs": [{"url": url, "path": f"/in/{number}"} for number, url in enumerate(urls)]}


def asks(**resources: Any) -> dict[str, Any]:
    return {"resources": resources}


NEAR = server("near", max_cpu=4, max_ram_gb=16, max_disk_gb=100)
FAR = server("far", max_cpu=64, max_ram_gb=512, max_disk_gb=5000, max_gpu=2, cost=1)
HOSPITAL = server(
    "hospital", holds=("/data/patients", "s3://patients", "drs://drs.hospital.org"), labels={"site": "clinic"}
)
PARK = server("park", holds=("s3://zoo/reads/",), labels={"site": "zoo"})


READS: dict[str, Any] = {"data": {"/data/reads": "s3://hospital/reads"}}


@dataclass(frozen=True, kw_only=True)
class Case:
    """`to`: the servers that the task is offered to, in their order; `says`: the reason of the first, or why nobody."""

    why: str
    servers: tuple[Candidate, ...]
    task: dict[str, Any] = field(default_factory=dict)
    choice: str = ""
    excluded: dict[str, str] = field(default_factory=dict)
    brings: tuple[str, ...] = ("drs://",)
    """Beginnings of URLs that the gateway sees to where a server does not read them."""
    to: str = ""
    says: str = ""


WEB = server("web", reads=["http", "https"])

CASES = [
    # Kinds of URLs
    Case(
        why="a URL of a kind that a server does not read is another one's to read",
        servers=(WEB, server("any")),
        task=reads("file:///wes/run/work/x", "https://example.org/x", "s3://public/x"),
        to="any",
        says="sent to any: reads s3://public/x, web reads only http and https",
    ),
    Case(
        why="who reads a URL itself comes before who has to be given what is there, whatever that costs",
        servers=(WEB, server("any", cost=5)),
        task=reads("s3://public/x"),
        brings=("s3://public",),
        to="any web",
        says="sent to any: reads s3://public/x, web reads only http and https",
    ),
    Case(
        why="what nobody reads itself is brought to the best of those that are left",
        servers=(WEB, server("none", reads=[], cost=1)),
        task=reads("s3://public/x"),
        brings=("s3://public",),
        to="web none",
        says="sent to web: reads s3://public/x, web reads only http and https: this service sees to it; cost 0, none 1",
    ),
    Case(
        why="a run that asks for a server is told what it does not read",
        servers=(WEB, server("any")),
        task=reads("s3://public/x"),
        brings=("s3://public",),
        choice="web",
        to="web",
        says="sent to web: the run asks for web; reads s3://public/x, web reads only http and https: "
        "this service sees to it",
    ),
    Case(
        why="of several URLs each must be one that can be brought",
        servers=(WEB,),
        task=reads("s3://public/x", "s3://private/y"),
        brings=("s3://public",),
        says="no TES can have it: reads s3://private/y, web reads only http and https",
    ),
    Case(why="files of the run are no URLs", servers=(WEB,), task=reads("file:///wes/run/work/x"), to="web"),
    Case(why="texts are none either", servers=(WEB,), task={"inputs": [{"content": "x", "path": "/in/x"}]}, to="web"),
    Case(
        why="a URL that nobody reads is told",
        servers=(WEB, server("none", reads=[])),
        task=reads("ftp://example.org/x"),
        says=(
            "no TES can have it: reads ftp://example.org/x, web reads only http and https; "
            "reads ftp://example.org/x, none reads nothing by a URL"
        ),
    ),
    Case(why="one server needs no reason", servers=(server("one"),), to="one"),
    # Resources
    Case(
        why="a small task stays where it costs nothing",
        servers=(NEAR, FAR),
        task=asks(cpu_cores=4),
        to="near far",
        says="sent to near: cost 0, far 1",
    ),
    Case(
        why="a task with many cores goes where they are",
        servers=(NEAR, FAR),
        task=asks(cpu_cores=16),
        to="far",
        says="sent to far: asks 16 cpu, near has at most 4",
    ),
    Case(
        why="memory",
        servers=(NEAR, FAR),
        task=asks(ram_gb=16.5),
        to="far",
        says="sent to far: asks 16.5 GB of memory, near has at most 16",
    ),
    Case(
        why="disk",
        servers=(NEAR, FAR),
        task=asks(disk_gb=101),
        to="far",
        says="sent to far: asks 101 GB of disk, near has at most 100",
    ),
    Case(
        why="a GPU is only where somebody says that one is",
        servers=(NEAR, FAR),
        task=asks(backend_parameters={"gpu": "1"}),
        to="far",
        says="sent to far: asks 1 gpu, near has none",
    ),
    Case(
        why="too many GPUs",
        servers=(NEAR, FAR),
        task=asks(backend_parameters={"gpu": "3"}),
        says="no TES can have it: asks 3 gpu, near has none; asks 3 gpu, far has at most 2",
    ),
    Case(
        why="where nobody speaks of GPUs they are no limit",
        servers=(server("a"),),
        task=asks(backend_parameters={"gpu": "8"}),
        to="a",
    ),
    Case(why="what a server has no limit of, it has", servers=(server("a"),), task=asks(cpu_cores=10**6), to="a"),
    Case(
        why="nobody is large enough",
        servers=(NEAR, FAR),
        task=asks(cpu_cores=128),
        says="no TES can have it: asks 128 cpu, near has at most 4; asks 128 cpu, far has at most 64. "
        "The engine parameter max_cpu=64 would lower what steps ask for",
    ),
    Case(why="null is no resource", servers=(NEAR,), task=asks(cpu_cores=None, ram_gb=None), to="near"),
    # Explicit choice
    Case(
        why="the run asks for a name",
        servers=(NEAR, FAR),
        choice="far",
        to="far",
        says="sent to far: the run asks for far",
    ),
    Case(
        why="the run asks for a label",
        servers=(HOSPITAL, PARK),
        choice="site=zoo",
        to="park",
        says="sent to park: the run asks for site=zoo",
    ),
    Case(
        why="the run asks for what can't do it",
        servers=(NEAR, FAR),
        choice="near",
        task=asks(cpu_cores=16),
        says="the run asks for the TES near: asks 16 cpu, near has at most 4. "
        "The engine parameter max_cpu=4 would lower what steps ask for",
    ),
    Case(
        why="the run asks for what is not there",
        servers=(HOSPITAL, PARK),
        choice="moon",
        says="the run asks for the TES moon: there is hospital, site=clinic, park, site=zoo",
    ),
    # Data
    Case(
        why="a bucket",
        servers=(PARK, HOSPITAL),
        task=reads("s3://patients/7/a.bam"),
        to="hospital",
        says="sent to hospital: reads s3://patients/7/a.bam, which is at hospital",
    ),
    Case(
        why="a folder",
        servers=(PARK, HOSPITAL),
        task=reads("file:///data/patients/7/a%20b.bam"),
        to="hospital",
        says="sent to hospital: reads /data/patients/7/a b.bam, which is at hospital",
    ),
    Case(
        why="a DRS host",
        servers=(PARK, HOSPITAL),
        task=reads("drs://drs.hospital.org/7"),
        to="hospital",
        says="sent to hospital: reads drs://drs.hospital.org/7, which is at hospital; "
        "reads drs://drs.hospital.org/7, hospital reads no drs: this service sees to it",
    ),
    Case(
        why="a prefix ends where a part of a path does",
        servers=(PARK, HOSPITAL),
        task=reads(
            "s3://patients-of-others/a",
            "file:///data/patients2/a",
            "s3://zoo/reads2/a",
            "drs://drs.hospital.org.evil/1",
        ),
        to="park hospital",
        says="sent to park: reads drs://drs.hospital.org.evil/1, park reads no drs: this service sees to it; "
        "0 open tasks, hospital 0",
    ),
    Case(
        why="two places",
        servers=(PARK, HOSPITAL, NEAR),
        task=reads("s3://patients/a", "s3://zoo/reads/b"),
        says="it reads s3://patients/a, which is at hospital, and s3://zoo/reads/b, which is at park: "
        "no TES has all of it",
    ),
    Case(
        why="data that two servers have",
        servers=(server("a", holds=("s3://x", "s3://y")), server("b", holds=("s3://y",))),
        task=reads("s3://y/1", "s3://x/2"),
        to="a",
        says="sent to a: reads s3://x/2, which is at a",
    ),
    Case(
        why="the data are not where the run wants to go",
        servers=(PARK, HOSPITAL),
        choice="park",
        task=reads("s3://patients/a"),
        says="the run asks for the TES park: reads s3://patients/a, which is at hospital",
    ),
    Case(
        why="the data are where there is too little",
        servers=(server("small", max_cpu=1, holds=("s3://x",)), FAR),
        task={**reads("s3://x/1"), **asks(cpu_cores=2)},
        says="no TES can have it: asks 2 cpu, small has at most 1; reads s3://x/1, which is at small. "
        "The engine parameter max_cpu=1 would lower what steps ask for",
    ),
    Case(
        why="the server that lacks the least is the one to ask less for",
        servers=(server("a", max_cpu=64, max_ram_gb=16), server("b", max_cpu=8)),
        task=asks(cpu_cores=128, ram_gb=32),
        says="no TES can have it: asks 128 cpu, a has at most 64; asks 128 cpu, b has at most 8. "
        "The engine parameter max_cpu=8 would lower what steps ask for",
    ),
    Case(
        why="all that a server has too little of is named",
        servers=(server("a", max_cpu=64, max_ram_gb=16),),
        task=asks(cpu_cores=128, ram_gb=32),
        says="no TES can have it: asks 128 cpu, a has at most 64. "
        "The engine parameters max_cpu=64 max_memory=16GB would lower what steps ask for",
    ),
    Case(
        why="a folder that one server reads by a URL, and another one shares",
        servers=(
            server("store", storage="s3://runs/x"),
            server("mapped", storage="s3://runs/x", **READS),
            server("near"),
        ),
        task=reads("file:///data/reads/1"),
        to="mapped near",
        says="sent to mapped: reads /data/reads/1, which is at mapped and near; 0 open tasks, near 0",
    ),
    Case(
        why="where nobody reads it by a URL it can be sent",
        servers=(server("store", storage="s3://runs/x"), server("mapped", **READS)),
        task=reads("file:///data/other"),
        to="store mapped",
        says="sent to store: 0 open tasks, mapped 0",
    ),
    # Cost, weight and load
    Case(
        why="fewest open tasks",
        servers=(server("a", open_tasks=3), server("b", open_tasks=2)),
        to="b a",
        says="sent to b: 2 open tasks, a 3",
    ),
    Case(
        why="weight",
        servers=(server("a", open_tasks=3, weight=4), server("b", open_tasks=1)),
        to="a b",
        says="sent to a: 3 open tasks, b 1",
    ),
    Case(
        why="each in its turn",
        servers=(server("a", sent=2), server("b", sent=1)),
        to="b a",
        says="sent to b: 0 open tasks, a 0",
    ),
    Case(
        why="cost counts before load",
        servers=(server("dear", cost=2), server("cheap", cost=1, open_tasks=9)),
        to="cheap dear",
        says="sent to cheap: cost 1, dear 2",
    ),
    Case(
        why="what is full is passed over",
        servers=(server("cheap", max_tasks=2, open_tasks=2), FAR),
        to="far",
        says="sent to far: cheap is full",
    ),
    Case(
        why="all are full",
        servers=(server("a", max_tasks=2, open_tasks=2), server("b", max_tasks=1, open_tasks=5)),
        says="no TES that can have it has room: a has 2 of at most 2 tasks, b has 5 of at most 1 tasks",
    ),
    # Health
    Case(
        why="what does not answer comes last",
        servers=(server("a", is_sick=True), server("b", cost=9)),
        to="b a",
        says="sent to b: a did not answer of late",
    ),
    Case(why="the only one is tried all the same", servers=(server("a", is_sick=True),), to="a"),
    Case(
        why="what refused it is passed over",
        servers=(server("a"), server("b", cost=9)),
        excluded={"a": "the TES a refused the task: HTTP 400: no"},
        to="b",
        says="sent to b: the TES a refused the task: HTTP 400: no",
    ),
    Case(
        why="all refused it",
        servers=(server("a"),),
        excluded={"a": "the TES a refused the task: HTTP 400: no"},
        says="no TES can have it: the TES a refused the task: HTTP 400: no",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.why)
def test_a_task_goes_where_it_should(case: Case) -> None:
    order, says = outcome(case)
    assert (order, says) == (case.to, case.says)


def outcome(case: Case) -> tuple[str, str]:
    """The names of the offers, and the reason of the first or why there is none."""
    try:
        found = route(case.task, case.servers, case.choice, case.excluded, _brings(case))  # type: ignore[arg-type]
    except Unroutable as error:
        return "", str(error)
    return " ".join(offer.name for offer in found.offers), found.offers[0].reason if found.offers else found.full


def _brings(case: Case) -> Callable[[str], bool]:
    return lambda url: url.startswith(case.brings)


def test_a_hostile_number_of_gpus_is_one() -> None:
    for text in ("all", "-1", "9" * 100, {"a": 1}, "²"):
        with pytest.raises(Unroutable, match="asks 1 gpu, near has none"):
            route({"resources": {"backend_parameters": {"gpu": text}}}, (NEAR, server("x", max_gpu=0)))
