"""`wes runs`: what the operator of a service does with its runs, in its database."""

from typing import Annotated

import typer

from wes_cli.errors import Unusable
from wes_cli.server import Data, service_database
from wes_service.auth.access import TOKEN_OWNER
from wes_service.core.run import ANONYMOUS, Owner

app = typer.Typer(
    help="What the operator of a service does with its runs, in its database.",
    no_args_is_help=True,
    add_completion=False,
)


@app.callback()
def runs() -> None:
    """What the operator of a service does with its runs, in its database."""


@app.command()
def adopt(
    data: Data = None,
    subject: Annotated[str, typer.Option(help="Who is to have them.")] = TOKEN_OWNER.subject,
    issuer: Annotated[str, typer.Option(help="Who vouches for that name.")] = TOKEN_OWNER.issuer,
) -> None:
    """Give the runs that were submitted without a token to whoever has the token now, else nobody sees them again.

    Works on the database of the service (--data, WES_DATA or WES_DATABASE_URL), which may be up meanwhile.

    \b
    wes runs adopt --data /srv/wes
    """
    from wes_service.store.adoption import adopt_runs

    after = Owner(issuer=issuer, subject=subject)
    if after == ANONYMOUS:
        raise Unusable("--subject: these runs belong to the anonymous user already")
    with service_database(data) as database:
        adopted = adopt_runs(database.transactions, ANONYMOUS, after)
    typer.echo(f"{adopted} run{'' if adopted == 1 else 's'} now belong{'s' if adopted == 1 else ''} to {subject}")
