from tests.fakes.seconds import Seconds
from wes_service.services.recent import Recent


def test_a_value_is_read_again_once_it_is_too_old_or_where_a_fresh_one_is_wanted() -> None:
    clock, reads = Seconds(), iter(range(10))
    recent = Recent(lambda: next(reads), 5, now=clock)
    assert [recent.value(), recent.value()] == [0, 0]
    clock.pass_by(4.9)
    assert recent.value() == 0
    clock.pass_by(0.1)
    assert recent.value() == 1
    assert recent.fresh() == 2
    assert recent.value() == 2
