from pathlib import Path

import pytest

from tes_service.layout import Layout
from tes_service.runners.process_runner import PathMapping
from tes_service.task_request import task_request


@pytest.fixture
def paths() -> PathMapping:
    request = task_request(
        {
            "executors": [{"image": "x", "command": ["true"], "workdir": "/work", "stdout": "/logs-of/stdout"}],
            "inputs": [{"content": "", "path": "/in/a.txt"}, {"content": "", "path": "/in/a.txt.gz"}],
            "outputs": [{"url": "/x", "path": "/out/x"}, {"url": "/y", "path": "/res/*.csv", "path_prefix": "/res"}],
        }
    )
    return PathMapping(Layout(root=Path("/T"), writable=("/work",)), request)


@pytest.mark.parametrize(
    ("text", "mapped"),
    [
        ("/in/a.txt", "/T/in/a.txt"),
        ("cat /in/a.txt>/out/x;ls", "cat /T/in/a.txt>/T/out/x;ls"),
        ("/in/a.txt.gz", "/T/in/a.txt.gz"),
        ("--in=/in/a.txt:/work", "--in=/T/in/a.txt:/T/work"),
        ("-I/work/sub -o/out/x", "-I/T/work/sub -o/T/out/x"),
        ("'/work'", "'/T/work'"),
        ("/res/1.csv", "/T/res/1.csv"),
        ("/in/a.txt2", "/in/a.txt2"),
        ("/in", "/in"),
        ("/working", "/working"),
        ("x/work/y", "x/work/y"),
        ("http://host/work", "http://host/work"),
        ("/usr/bin/env", "/usr/bin/env"),
        ("/tmp/x", "/tmp/x"),
    ],
)
def test_declared_paths_are_put_where_they_stand_alone(paths: PathMapping, text: str, mapped: str) -> None:
    assert paths.mapped(text) == mapped
