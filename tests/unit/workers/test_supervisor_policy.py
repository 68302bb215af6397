"""Times that must fit with each other."""

from wes_cli.programs import worker_program
from wes_service.settings import Settings
from wes_service.store.dialect import BUSY_SECONDS
from workers.run.supervisor import CLOSING_SECONDS, STOP_SECONDS, SupervisorPolicy

PACE = SupervisorPolicy(slots=1, lease_seconds=Settings().lease_seconds)


def test_a_worker_tries_to_beat_at_least_twice_before_its_engines_stand_still() -> None:
    assert PACE.renew_seconds + BUSY_SECONDS < PACE.give_up_seconds
    assert 2 * PACE.renew_seconds < PACE.give_up_seconds < PACE.lease_seconds


def test_a_worker_is_not_killed_while_it_closes_its_runs() -> None:
    assert CLOSING_SECONDS < STOP_SECONDS
    assert worker_program({}).stop_seconds >= STOP_SECONDS + 20
