from wes_service.services.submission import idempotency_key


def digest(fields: dict[str, str], digests: dict[str, str]) -> str:
    key = idempotency_key("k", fields, digests)
    assert key is not None
    return key.digest


def test_the_digest_takes_in_every_field_and_attachment_in_any_order() -> None:
    base = digest({"a": "1", "b": "2"}, {"x": "8", "y": "9"})
    assert digest({"b": "2", "a": "1"}, {"y": "9", "x": "8"}) == base
    others = [
        ({"a": "1"}, {"x": "8", "y": "9"}),
        ({"a": "1", "b": "2"}, {"x": "9", "y": "8"}),
        ({"a": "1", "b": "2"}, {}),
    ]
    assert base not in {digest(fields, digests) for fields, digests in others}


def test_fields_and_attachments_can_not_stand_in_for_one_another() -> None:
    assert digest({"a": "1"}, {}) != digest({}, {"a": "1"})


def test_without_a_key_there_is_no_digest() -> None:
    assert idempotency_key(None, {"a": "1"}, {}) is None
