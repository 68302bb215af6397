import sys
from pathlib import Path

from wes_cli.programs import Child, ChildSpec


def test_the_last_lines_are_those_of_this_start_of_the_service(tmp_path: Path) -> None:
    log = tmp_path / "api.log"
    log.write_text("an error of last week\n")
    program = "import sys; print('an error of today')"
    child = Child(spec=ChildSpec(name="api", argv=[sys.executable, "-c", program], environment={}), log=log)
    for _ in range(2):
        child.start()
        assert child.process is not None
        child.process.wait()
    assert child.last_lines() == "an error of today\nan error of today"
