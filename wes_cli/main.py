"""The command `wes`: each command's module is imported only when that command is called, so that help is quick."""

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command as build

from common.errors import WesError

if TYPE_CHECKING:
    # Typer's own copies of click's classes moved between versions; only their names are needed here.
    Context = Any
    Command = Any


class CommandEntry(NamedTuple):
    """Where a command lives and its line in the overview."""

    module: str
    name: str
    line: str
    hidden: bool = False


CLI = "wes_cli"
COMMANDS = {
    "up": CommandEntry(f"{CLI}.serve", "up", "Start the whole service on this machine, in the foreground."),
    "run": CommandEntry(f"{CLI}.run", "run", "Submit a workflow with its local files and show its steps."),
    "resume": CommandEntry(f"{CLI}.resume", "resume", "Start a run that has ended anew, without what it has done."),
    "ls": CommandEntry(f"{CLI}.ls", "ls", "List runs, newest first."),
    "status": CommandEntry(f"{CLI}.runs", "status", "Show one run: its state, its steps and why it failed."),
    "tasks": CommandEntry(f"{CLI}.runs", "tasks", "List the tasks of a run."),
    "logs": CommandEntry(f"{CLI}.logs", "logs", "Print the logs of a run or of one of its tasks."),
    "events": CommandEntry(f"{CLI}.runs", "events", "Tell the history of a run: its states, when and why."),
    "outputs": CommandEntry(f"{CLI}.outputs", "outputs", "List the output files of a run, or download them."),
    "cancel": CommandEntry(f"{CLI}.runs", "cancel", "Cancel a run."),
    "rm": CommandEntry(f"{CLI}.runs", "rm", "Delete a run that has ended, with all its data."),
    "deleted": CommandEntry(f"{CLI}.database", "deleted", "List deleted runs, from the database of the service."),
    "runs": CommandEntry(f"{CLI}.database", "runs_app", "Give runs without an owner to one (for the operator)."),
    "engines": CommandEntry(f"{CLI}.engines", "app", "Install and list workflow engines."),
    "hooks": CommandEntry(f"{CLI}.hooks", "app", "List whom the ends of runs were told to; deliver one again."),
    "doctor": CommandEntry(
        f"{CLI}.doctor", "doctor", "Check what works on this machine and what to do about the rest."
    ),
    "config": CommandEntry(f"{CLI}.config", "app", "Show the configuration that is in effect."),
    "database": CommandEntry(f"{CLI}.database", "database_app", "Look at the database, back it up, restore it."),
    "api": CommandEntry(f"{CLI}.serve", "api", "Start only the HTTP service (one of many)."),
    "worker": CommandEntry(f"{CLI}.serve", "worker", "Start only a worker (one of many)."),
    "tes": CommandEntry(f"{CLI}.tes_check", "app", "Start only the embedded TES server; 'tes check' tries any server."),
    "demo": CommandEntry(
        f"{CLI}.demo", "demo", "Run the example workflow, with a server of its own where none runs.", hidden=True
    ),
}


class LazyGroup(TyperGroup):
    """Lists stand-ins that only know their one line; the real command is built when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for name, entry in COMMANDS.items():
            self.add_command(TyperCommand(name, help=entry.line, hidden=entry.hidden), name)

    def resolve_command(self, ctx: "Context", args: list[str]) -> "tuple[str | None, Command | None, list[str]]":
        """Builds the real command in the place of its stand-in."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else stand_in, rest

    def invoke(self, ctx: "Context") -> Any:
        """Prints a `WesError` as one line and exits with 2."""
        try:
            return super().invoke(ctx)
        except WesError as error:
            typer.secho(f"wes: {error}", fg="red", err=True)
            raise typer.Exit(2) from None


def load(name: str) -> "Command":
    """Imports and builds the command `name` of the table."""
    entry = COMMANDS[name]
    found = getattr(import_module(entry.module), entry.name)
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        return build(found)
    single = typer.Typer(rich_markup_mode=None, add_completion=False)
    single.command(name, hidden=entry.hidden)(found)
    return build(single)


app = typer.Typer(
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from common import __version__

        typer.echo(f"wes-tes {__version__}")
        raise typer.Exit


@app.callback()
def wes(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Run workflows on any GA4GH WES 1.1 server, and serve one yourself.

    \b
    Quick start:
      wes engines install cwl        once
      wes up                         in another terminal
      wes run hello.cwl --params hello.yml

    Commands that talk to a server take --server URL (or WES_SERVER) and --token-file FILE (or WES_TOKEN_FILE).
    They exit with 0 when all is well, 1 when the run failed, 2 when the command could not be carried out.
    """


if __name__ == "__main__":
    app(prog_name="wes")
