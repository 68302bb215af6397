"""Progress as the command line tells it."""

from wes_service.cli.views import Steps, read_run


def test_progress_is_one_short_line() -> None:
    steps = Steps(known=5, running=1, done=3, failed=0, cached=1)
    assert str(steps) == "3 of 5 steps done, 1 running, 1 from an earlier run"
    assert str(Steps(done=0, running=2)) == "0 steps done, 2 running"


def test_a_server_that_tells_no_progress_is_fine() -> None:
    assert str(read_run({"run_id": "1", "state": "RUNNING"}).steps) == ""
    assert str(read_run({"run_id": "1", "state": "RUNNING", "progress": "soon"}).steps) == ""
