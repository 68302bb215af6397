from wes_service.core.liveness import (
    NO_OBSERVATION,
    Beats,
    HeartbeatObservation,
    doubtful_workers,
    observe,
    silent_workers,
)

LEASE = 12.0
STEP = LEASE / 4


def watch(
    *looks: tuple[float, dict[str, Beats]], before: HeartbeatObservation = NO_OBSERVATION
) -> HeartbeatObservation:
    """What is known after these looks, each at a time (s) and with what was seen."""
    for now, beats in looks:
        before = observe(before, beats, now, STEP)
    return before


def test_a_worker_is_silent_when_it_was_seen_to_stand_still_for_a_lease() -> None:
    looks: list[tuple[float, dict[str, Beats]]] = [(100.0 + 2 * number, {"w1": 7}) for number in range(7)]
    assert silent_workers(watch(*looks), LEASE) == {}
    assert silent_workers(watch(*looks, (114.0, {"w1": 7})), LEASE) == {"w1": 7}


def test_each_heartbeat_begins_the_watch_anew() -> None:
    looks: list[tuple[float, dict[str, Beats]]] = [(2.0 * number, {"w1": number // 5}) for number in range(50)]
    assert silent_workers(watch(*looks), LEASE) == {}


def test_a_worker_that_was_just_seen_is_not_silent_however_old_its_number_is() -> None:
    assert silent_workers(watch((10**9, {"w1": 3})), LEASE) == {}


def test_who_was_suspended_or_cut_off_does_not_take_the_time_for_the_silence_of_others() -> None:
    seen = watch((0.0, {"w1": 7}), (2.0, {"w1": 7}), (3600.0, {"w1": 7}), (3602.0, {"w1": 7}))
    assert silent_workers(seen, LEASE) == {}
    assert silent_workers(watch((3605.0, {"w1": 7}), (3608.0, {"w1": 7}), before=seen), LEASE) == {"w1": 7}


def test_a_worker_that_left_is_silent_at_once() -> None:
    assert silent_workers(watch((0.0, {"w1": None, "w2": 1})), LEASE) == {"w1": None}


def test_a_worker_that_holds_nothing_any_more_is_forgotten() -> None:
    assert watch((0.0, {"w1": 1}), (2.0, {})).sightings == {}


def test_who_was_there_before_the_first_look_is_in_doubt_until_it_beats_or_is_silent() -> None:
    began = watch((100.0, {"w1": 7, "w2": 7, "gone": None}))
    assert doubtful_workers(began, LEASE) == {"w1", "w2"}
    later = watch((103.0, {"w1": 8, "w2": 7}), before=began)
    assert doubtful_workers(later, LEASE) == {"w2"}
    looks: list[tuple[float, dict[str, Beats]]] = [(103.0 + 3 * n, {"w1": 8 + n, "w2": 7}) for n in range(1, 5)]
    at_last = watch(*looks, before=later)
    assert (doubtful_workers(at_last, LEASE), silent_workers(at_last, LEASE)) == (set(), {"w2": 7})


def test_who_claims_its_first_run_lives_and_is_in_doubt_after_half_a_lease_of_silence() -> None:
    looks: list[tuple[float, dict[str, Beats]]] = [(102.0 + 2 * n, {"w1": 1}) for n in range(4)]
    looks = [(100.0, {}), *looks]
    assert doubtful_workers(watch(*looks), LEASE) == set()
    assert doubtful_workers(watch(*looks, (110.0, {"w1": 1})), LEASE) == {"w1"}
