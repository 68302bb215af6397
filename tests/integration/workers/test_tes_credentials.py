"""A gateway that gets tokens for its TES from an OAuth2 server."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fakes.tes_server import BadTes
from tests.fakes.token_server import CLIENT_ID, CLIENT_SECRET, TokenServer, token_server
from tests.integration.workers.conftest import Rig, rigged


@contextmanager
def oauth2_rig(folder: Path, tes: BadTes) -> Iterator[tuple[Rig, TokenServer]]:
    """A gateway whose TES is named in a file, with a token server."""
    secret = folder / "client-secret"
    secret.write_text(CLIENT_SECRET)
    secret.chmod(0o600)
    with token_server() as tokens:
        keys = {"url": tes.url, "oauth2_token_url": tokens.url, "oauth2_client_id": CLIENT_ID}
        lines = [f'{key} = "{value}"' for key, value in keys.items()]
        file = folder / "wes.toml"
        file.write_text(
            "\n".join(["[tes.far]", *lines, 'oauth2_client_secret_file = "client-secret"', 'kind = "generic"'])
        )
        with rigged(folder, tes, config=file, tes_urls=(), tes_token_file=()) as rig:
            yield rig, tokens


def test_tasks_of_one_server_share_an_oauth2_token(open_tmp: Path, tes: BadTes) -> None:
    with oauth2_rig(open_tmp, tes) as (rig, tokens):
        for task_id in [rig.post(name=f"s{number}") for number in range(20)]:
            assert rig.wait(task_id)["state"] == "COMPLETE"
    assert tokens.asked == 1
    assert set(tes.tokens) == {f"Bearer {tokens.given[0]['access_token']}"}


def test_an_oauth2_token_that_is_refused_is_replaced_once(open_tmp: Path, tes: BadTes) -> None:
    with oauth2_rig(open_tmp, tes) as (rig, tokens):
        assert rig.wait(rig.post())["state"] == "COMPLETE"
        tes.refused.add(f"Bearer {tokens.given[0]['access_token']}")
        assert rig.wait(rig.post())["state"] == "COMPLETE"
        assert tokens.asked == 2


def test_a_token_server_that_is_away_costs_time_and_is_told_without_secrets(open_tmp: Path, tes: BadTes) -> None:
    with oauth2_rig(open_tmp, tes) as (rig, tokens):
        tokens.down = (503, b"{}")
        said = rig.wait(rig.post())
        assert said["state"] == "SYSTEM_ERROR"
        (line,) = said["logs"][-1]["system_logs"]
        assert "of [tes.far] of " in line
        assert "gave no token: HTTP 503" in line
        assert CLIENT_SECRET not in line
        assert tokens.asked <= 2
