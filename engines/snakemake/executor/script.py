"""The shell script that a step's command runs in: it prepares the step's folders, and looks at what came of it."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath

from engines.snakemake.executor.rule_script import ScriptInTask

LOG_LINES = 20
LINKS_AT_ONCE = 200
"""Linux takes 2 MiB of arguments, and a name may have a thousand bytes."""
ERRORS = (
    r"/^RuleException/d; /^WorkflowError/d; /^CalledProcessError/d; /^Error in rule/d; /^Error in group/d;"
    r" /^[A-Za-z_.]*Error/{p;n;p;}; /^[A-Za-z_.]*Exception/{p;n;p;}"
)
"""For sed: what is an error of the workflow's own in Snakemake's words, with the line that follows it."""

JOB = r"/^(local)?(rule|checkpoint) .*:$/,/^(RuleException|Error in (rule|group)|Shutting down)/p"
HEADING = (
    r"/^(local)?(rule|checkpoint) .*:$/d; /^    [a-z_]+: /d; /^Shell command: /d; /^\[[A-Z][a-z]{2} [A-Z][a-z]{2} /d;"
    r" /^(RuleException|Error in (rule|group)|Shutting down)/d; /^ *$/d"
)
"""For sed -E: what lies between a job's beginning and Snakemake's words on its end, and what of that is its own."""


@dataclass(frozen=True, kw_only=True)
class NestedSnakemake:
    """A command that is Snakemake's own: the last words of it are the arguments.

    `program` is where Snakemake may be on the machine, for a task that runs over the machine's own programs.
    """

    rule: str
    kind: str
    image: str
    program: Path
    conda: bool = False


@dataclass(frozen=True, kw_only=True)
class ScriptContext:
    """What a command needs around it. Paths are relative to the working folder, or absolute.

    `links`: attachments that are seen in the working folder. `directories`: outputs that are folders. `touched`:
    outputs that Snakemake makes itself. `source`: the script that the command runs.
    """

    rule: str
    attachments: Path
    links: Sequence[str] = ()
    outputs: Sequence[str] = ()
    directories: Sequence[str] = ()
    logs: Sequence[str] = ()
    touched: Sequence[str] = ()
    nested: NestedSnakemake | None = field(default=None)
    source: ScriptInTask | None = None


def script(context: ScriptContext) -> str:
    """Runs its arguments as the command; its exit code is the command's, or 1 where an output is missing."""
    source = context.source.prepared() if context.source else []
    before = [*_linked(context), *_prepared(context), *source, *_program(context.nested)]
    return "\n".join([*before, *_run(context.nested), *_checked(context), 'exit "$code"', ""])


def _linked(context: ScriptContext) -> list[str]:
    """Few processes, however many attachments there are: one call for what lies in one folder. What is there stays."""
    if not context.links:
        return []
    function = [
        "attached() {",
        "    folder=$1; shift",
        '    [ -d "./$folder" ] || mkdir -p "./$folder"',
        "    for name do",
        "        shift",
        '        if [ -e "./$folder/$name" ] || [ -L "./$folder/$name" ]; then continue; fi',
        f'        set -- "$@" {shlex.quote(str(context.attachments))}/"$folder/$name"',
        "    done",
        '    if [ $# != 0 ]; then ln -s "$@" "./$folder"; fi',
        "}",
    ]
    return [*function, *(f"attached {_words(part)}" for part in _by_folder(context.links))]


def _by_folder(names: Iterable[str]) -> Iterator[list[str]]:
    """Each folder with names in it, no more than fit into one command."""
    for folder, inside in groupby(sorted(map(PurePosixPath, names)), lambda path: path.parent):
        entries = [path.name for path in inside]
        for start in range(0, len(entries), LINKS_AT_ONCE):
            yield [str(folder), *entries[start : start + LINKS_AT_ONCE]]


def _prepared(context: ScriptContext) -> list[str]:
    parents = {str(PurePosixPath(name).parent) for name in (*context.outputs, *context.logs)}
    folders = sorted(parents - {"."})
    lines = [f"mkdir -p {_words(folders)}"] if folders else []
    if context.directories:
        # A rule makes its folder itself, but some TES have made it already.
        lines.append(f"rmdir {_words(context.directories)} 2>/dev/null")
    # A log that nothing was written to exists nevertheless.
    return lines + [f": >> {shlex.quote(name)}" for name in context.logs]


def _program(nested: NestedSnakemake | None) -> list[str]:
    if nested is None:
        return [
            "if ! command -v bash >/dev/null 2>&1; then",
            '    case $2 in -c) set -- sh -c "$3" ;; *) set -- sh -euc "$5" ;; esac',
            "fi",
        ]
    program = shlex.quote(str(nested.program))
    return [
        'if [ ! -w "${HOME:-/}" ]; then export HOME=/tmp; fi',
        'export USER="${USER:-run}"',
        f"if [ -x {program} ]; then",
        f'    set -- {program} "$@"',
        f'    PATH={shlex.quote(str(nested.program.parent))}:"$PATH"',
        "elif command -v snakemake >/dev/null 2>&1; then",
        '    set -- snakemake "$@"',
        "else",
        f"    echo {shlex.quote(_no_snakemake(nested))} >&2",
        "    exit 1",
        "fi",
        *(_conda(nested) if nested.conda else []),
    ]


def _run(nested: NestedSnakemake | None) -> list[str]:
    if nested is None:
        return ['"$@"', "code=$?"]
    # Snakemake prints much after the error itself, and a reader looks at the last lines: so it is printed again.
    return [
        "output=/tmp/wes-step.$$",
        '{ { "$@" 2>&1 >&3; echo $? > "$output.code"; } | tee "$output" >&2; } 3>&1',
        'code=$(cat "$output.code")',
        'if [ "$code" != 0 ]; then',
        f"""    cause=$(sed -n '{ERRORS}' "$output" | tail -n {LOG_LINES})""",
        # A program that is called says what it likes: all that is not Snakemake's own.
        f"""    [ "$cause" ] || cause=$(sed -nE '{JOB}' "$output" | sed -E '{HEADING}' | tail -n {LOG_LINES})""",
        """    printf '%s\\n' "$cause" >&2""",
        "fi",
    ]


def _conda(nested: NestedSnakemake) -> list[str]:
    sentence = (
        f"the rule {nested.rule} needs conda for its software (conda:), and there is none in the image {nested.image}: "
        "give the rule a container: that has the software, or name an image with conda in the engine parameter "
        "nested_image, or set the engine parameter conda to false to use what the image has"
    )
    return [
        "if ! command -v conda >/dev/null 2>&1; then",
        f"    echo {shlex.quote(sentence)} >&2",
        "    exit 1",
        "fi",
    ]


def _no_snakemake(nested: NestedSnakemake) -> str:
    return (
        f"the rule {nested.rule} has {nested.kind}, which needs Snakemake inside its container, and there is none in "
        f"the image {nested.image}: use an image with Snakemake in it, or leave container: out for the engine "
        "parameter nested_image"
    )


def _checked(context: ScriptContext) -> list[str]:
    lines = [f'if [ "$code" = 0 ]; then touch {_words(context.touched)}; fi'] if context.touched else []
    if context.logs:
        lines += [
            f'if [ "$code" != 0 ]; then for log in {_words(context.logs)}; do',
            f'    if [ -s "$log" ]; then echo "the end of $log:" >&2; tail -n {LOG_LINES} "$log" >&2; fi',
            "done; fi",
        ]
    if context.outputs:
        sentence = f"the rule {context.rule} ended well but did not make its output"
        lines += [
            f'if [ "$code" = 0 ]; then for made in {_words(context.outputs)}; do',
            f'    if [ ! -e "$made" ]; then echo {shlex.quote(sentence)} "$made" >&2; code=1; fi',
            "done; fi",
        ]
    return lines + (context.source.checked() if context.source else [])


def _words(names: Iterable[str]) -> str:
    return " ".join(shlex.quote(name) for name in names)
