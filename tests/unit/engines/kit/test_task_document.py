from engines.kit import task_document as kit
from tes import task as core


def test_the_tags_are_those_that_the_gateway_knows() -> None:
    assert (kit.TAG_STEP, kit.TAG_KEY, kit.TAG_ATTEMPT) == (core.TAG_STEP, core.TAG_KEY, core.TAG_ATTEMPT)
