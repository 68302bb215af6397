import threading
import time

from wes_service.services.readiness import NotReady, Readiness


def test_a_probe_that_hangs_holds_one_thread_however_often_it_is_asked_for() -> None:
    release = threading.Event()
    started: list[int] = []

    def hang() -> None:
        started.append(1)
        release.wait(30)

    readiness = Readiness({"tes": hang})
    reports = []
    for _ in range(3):
        reports.append(readiness.report())
        time.sleep(1.01)
        readiness._last = None
    assert [report.parts["tes"] for report in reports] == ["there is no answer after 2 s"] * 3
    assert len(started) == 1
    release.set()


def test_many_callers_at_once_are_answered_by_one_look() -> None:
    asked: list[int] = []
    together = threading.Barrier(8)

    def ask() -> None:
        asked.append(1)
        time.sleep(0.2)

    readiness = Readiness({"tes": ask})
    status: list[bool] = []

    def caller() -> None:
        together.wait()
        status.append(readiness.report().ready)

    callers = [threading.Thread(target=caller) for _ in range(8)]
    for each in callers:
        each.start()
    for each in callers:
        each.join()
    assert (status, len(asked)) == ([True] * 8, 1)


def test_a_part_that_comes_back_is_ok_again() -> None:
    broken = True

    def ask() -> None:
        if broken:
            raise NotReady("it is away")

    readiness = Readiness({"tes": ask})
    assert readiness.report().document() == {
        "msg": "tes: it is away",
        "status_code": 503,
        "parts": {"tes": "it is away"},
    }
    broken = False
    time.sleep(1.01)
    assert readiness.report().document() == {"ready": True, "parts": {"tes": "ok"}}


def test_what_is_not_needed_is_told_and_keeps_nobody_out() -> None:
    def refuse() -> None:
        raise NotReady("it is away")

    report = Readiness({"database": lambda: None}, {"tes": refuse}).report()
    assert report.document() == {"ready": True, "parts": {"database": "ok", "tes": "it is away"}}
