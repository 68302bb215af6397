import errno
import json

import pytest
from structlog.testing import capture_logs

from common import errors
from wes_service.api import errors as api


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.InvalidField("tags", "bad"), 400),
        (errors.InvalidRequest("bad"), 400),
        (api.BodyCutShort("short"), 400),
        (errors.TooLarge("big"), 413),
        (errors.IdempotencyConflict(), 409),
        (api.UnsupportedMediaType("json"), 415),
        (errors.RunNotFound(), 404),
        (errors.TaskNotFound(), 404),
        (errors.LogNotFound(), 404),
        (errors.Unauthorized(), 401),
        (errors.Forbidden("no"), 403),
        (api.RangeNotSatisfiable(3), 416),
        (errors.DiskFull("no room"), 500),
        (errors.StoreUnavailable(), 503),
    ],
)
def test_every_error_of_the_tree_has_a_status_and_says_its_message(error: errors.WesError, status: int) -> None:
    response = api.error_response(error)
    assert (response.status, response.message) == (status, str(error))
    assert json.loads(response.body) == {"msg": str(error), "status_code": status}


@pytest.mark.parametrize("error", [ValueError("secret"), errors.StaleClaim("secret"), OSError(errno.EIO, "secret")])
def test_what_was_not_foreseen_is_logged_and_tells_nothing(error: Exception) -> None:
    with capture_logs() as logs:
        response = api.error_response(error)
    assert response.status == 500
    assert "secret" not in response.message
    assert logs[0]["exc_info"] is error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(number: int) -> None:
    assert "disk" in api.error_response(OSError(number, "full", "/path")).message
