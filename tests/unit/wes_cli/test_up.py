import pytest

from tests.unit.wes_cli.conftest import Wes


@pytest.mark.parametrize("url", ["postgresql://wes:s3cret@db/wes", "postgresql://db/wes?user=wes&password=s3cret"])
def test_a_password_among_the_arguments_is_refused_and_not_repeated(wes: Wes, url: str) -> None:
    result = wes("up", "--database", url)
    assert result.exit_code == 2
    assert "WES_DATABASE_PASSWORD_FILE" in result.output
    assert "s3cret" not in result.output
