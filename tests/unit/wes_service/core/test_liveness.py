from wes_service.core.liveness import NO_OBSERVATION, Beats, HeartbeatObservation, observe, silent_workers

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
