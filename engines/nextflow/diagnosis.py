"""Why a run of Nextflow failed, in one sentence, from what it printed."""

import re
from pathlib import Path

from common.engine import EngineEnd, RunFolder
from engines.kit.settings import EXECUTOR_FOLDER
from engines.nextflow.launch import LOG_FILE
from engines.results import was_killed, without_paths

TAIL_BYTES = 64 * 1024
LONGEST_SENTENCE = 1500
OUT_OF_MEMORY = "java.lang.OutOfMemoryError"
COMPILATION_ERROR = re.compile(
    r"(?:Script|Module) compilation error\n- file : (?P<file>.*)\n- cause: (?P<cause>(?:.|\n)*?)(?:\n\s*\n|$)"
)
CONFIG_ERROR = re.compile(r"Unable to parse config file: '(?P<file>[^']*)'(?P<cause>(?:.|\n)*)")
SOURCE_POSITION = re.compile(r"^(?P<what>.*?) @ line (?P<line>\d+), column (?P<column>\d+)", re.MULTILINE)
PROCESS_ERROR = re.compile(
    r"Error executing process > '(?P<name>.{0,1000})'\n+Caused by:\n(?P<cause>(?:.|\n)*?)"
    r"(?:\n\n\n|\n(?:Command executed|Source block|Tip|Work dir)\b|$)"
)
EVAL_ERROR = re.compile(
    r"Unable to evaluate output\n+Command executed:\n+(?P<command>(?:.|\n)*?)\nCommand exit status:\n(?P<status>.*)\n+"
    r"Command output:\n(?P<output>(?:.|\n)*?)\n\n"
)
"""An output that a process declares as eval('COMMAND')."""
SCRIPT_POSITION = re.compile(r"-- Check script '(?P<file>[^']*)' at line: (?P<line>\d+)")
WANTED_PLUGIN = re.compile(r"^Downloading plugin (?P<name>[\w.-]+@\S+)$", re.MULTILINE)
"""Nextflow says so without a network too, before it looks for the plugin where it does not lie."""
NO_PLUGIN = re.compile(
    r"Plugin with id [\w.-]+ not found in any repository|Plugin [\w.-]+ with version @\S+ does not exist"
    r"|Cannot find (?:latest )?version (?:for|of) (?P<any>[\w.-]+) plugin(?: matching [~^]?(?P<version>\d\S*))?"
    r"|Unknown plugin id: (?P<unknown>[\w.-]+)|Unable start plugin with Id '(?P<included>[\w.-]+)'"
    r"|Missing plugin '(?P<scheme>[\w.-]+)' required to read file"
)
UNKNOWN_PROFILE = re.compile(r"Unknown configuration profile: '(?P<name>[^']*)'")
KNOWN_PROFILES = re.compile(r"Available config profiles: \[(?P<names>[^\]]*)\]")
NO_SECRETS = re.compile(r"Unable to access 'secrets\.(?P<name>\w+)' because secrets feature is disabled[^\n]*")
PROGRESS_LINE = re.compile(r"^(\[[0-9a-f]{2}/[0-9a-f]{6}\]|\[skipped|\[-|WARN:|N E X T F L O W|Launching `)")
HINT_LINE = re.compile(r"(?<![ \t])[ \t]*-- Check (?:script )?'.*$|^(Tip|NOTE): .*$", re.MULTILINE)
SOURCE_NAME = re.compile(r"^\s*/groovy/script/\S+?: \d+: ")
REMOTE_NOT_STAGED = re.compile(r"Can't stage file \w+://")
ERROR_MARK = "ERROR ~ "
TERMINAL_COLOR = re.compile(r"\x1b\[[0-9;]*m")
LISTED_PROBLEM = re.compile(r"^[ \t]*[*-] +(?!Check )\S", re.MULTILINE)
RUNNING_VERSION = re.compile(r"N E X T F L O W +~ +version (\d+\.\d+\.\d+)")
PREVIEW_FEATURE = re.compile(
    r"^[^\n]*(?:requires? the `nextflow\.preview\.\w+` feature flag|nextflow\.preview\.\w+[^\n]*)", re.MULTILINE
)
VERSION_MISMATCH = re.compile(r"does not match workflow required version")
REQUIRED_VERSION = re.compile(r"nextflowVersion\s*=\s*['\"]!?\s*(>=|>|=)?\s*(\d+\.\d+(?:\.\d+)?)")
NOT_REACHED = "; attach the file, or name a folder that --allow-data opens"


def diagnosis(folder: RunFolder, end: EngineEnd) -> str:
    """See `Engine.diagnose`. The engine's own stdout tells more than its stderr."""
    stdout = _tail_of(folder.logs / "stdout")
    if OUT_OF_MEMORY in stdout or OUT_OF_MEMORY in end.stderr:
        return "Nextflow ran out of memory"
    config = _tail_of(folder.attachments / "nextflow.config")
    known = (too_old(f"{stdout}\n{end.stderr}", config), without_plugin(stdout), _no_profile(end.stderr, folder))
    sentence = next(filter(None, known), "") or explained(stdout) or explained(end.stderr)
    if sentence:
        return without_paths(sentence, folder)
    if was_killed(end):
        return "Nextflow was killed; it may have used more memory than it was given"
    return f"Nextflow ended with exit code {end.exit_code} and gave no reason"


def explained(text: str) -> str:
    """What Nextflow's output says about a failure: its first error, as the others follow from it; empty where it says
    nothing."""
    text = TERMINAL_COLOR.sub("", text)
    first, *later = text.split(ERROR_MARK)[1:] or [_last_block(text)]
    lists = [block for block in later if LISTED_PROBLEM.search(block)] if not LISTED_PROBLEM.search(first) else []
    return "; ".join([_of_block(first), *map(_of_block, lists[:1])])[:LONGEST_SENTENCE]


def too_old(text: str, config: str) -> str:
    """What there is to say where this Nextflow lacks what the workflow uses; `config` is the workflow's own."""
    running, flag = RUNNING_VERSION.search(text), PREVIEW_FEATURE.search(text)
    required = REQUIRED_VERSION.search(config)
    if running is None or not (flag or VERSION_MISMATCH.search(text)):
        return ""
    if required is None or _numbers(required[2]) <= _numbers(running[1]):
        return ""
    what = f" ({_joined(flag[0].removeprefix(ERROR_MARK))} in this one)" if flag else ""
    return (
        f"the workflow is made for Nextflow {required[1]}{required[2]}, and this is {running[1]}{what}: "
        "'wes engines install nextflow --own LAUNCHER' adds a Nextflow of your own"
    )


def without_plugin(text: str) -> str:
    """What there is to do where the workflow uses a plugin that is not installed, or not in this version."""
    missing = NO_PLUGIN.search(text)
    if missing is None:
        return ""
    plugin_id = next(filter(None, (missing[group] for group in ("any", "unknown", "included", "scheme"))), "")
    wanted = WANTED_PLUGIN.findall(text[: missing.start()])
    wanted = [each for each in wanted if not plugin_id or each.startswith(f"{plugin_id}@")]
    name = wanted[-1] if wanted else plugin_id
    if missing["version"]:
        name = f"{name}@{missing['version']}"
    what = f"the workflow uses the Nextflow plugin {name}, which is not installed here"
    return f"{what}: 'wes engines install nextflow --plugin {name}' does it" if name else ""


def _no_profile(text: str, folder: RunFolder) -> str:
    """Nextflow names profiles with similar names only, and all of them in its log."""
    wrong = UNKNOWN_PROFILE.search(text)
    log = _tail_of(folder.work / EXECUTOR_FOLDER / LOG_FILE)
    there = KNOWN_PROFILES.search(log)
    if wrong is None:
        return ""
    names = ", ".join(sorted(there["names"].split(", "))) if there else ""
    return f"the workflow's config has no profile '{wrong['name']}'; it has {names or 'none'}"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _of_block(text: str) -> str:
    for read in (_of_compilation, _of_config, _of_process):
        sentence = read(text)
        if sentence:
            return sentence
    message = _joined(HINT_LINE.sub("", text))
    position = SCRIPT_POSITION.search(text)
    return f"{position['file']}:{position['line']}: {message}" if position and message else message


def _of_compilation(text: str) -> str:
    found = COMPILATION_ERROR.search(text)
    return f"{found['file']}{_at_position(found['cause'])}" if found else ""


def _of_config(text: str) -> str:
    text = NO_SECRETS.sub(
        r"it uses secrets.\g<name>, and this server keeps no secrets of Nextflow: hand it a file with what it needs",
        text,
    )
    found = CONFIG_ERROR.search(text)
    return f"{found['file']}{_at_position(found['cause'])}" if found else ""


def _at_position(cause: str) -> str:
    found = SOURCE_POSITION.search(cause)
    if found is None:
        return f": {_joined(HINT_LINE.sub('', cause))}"
    what = SOURCE_NAME.sub("", found["what"]).strip()
    return f":{found['line']}:{found['column']}: {what} (this, or the block that begins here, does not compile)"


def _of_process(text: str) -> str:
    found = PROCESS_ERROR.search(text)
    if found is None:
        return ""
    cause = _joined(found["cause"])
    evaluated = EVAL_ERROR.search(text)
    if evaluated:
        command, status, output = (_joined(evaluated[name]) for name in ("command", "status", "output"))
        cause = f"the command of its eval output, '{command}', ended with exit code {status}: {output}"
    return f"The process '{found['name']}' failed: {cause}{NOT_REACHED if REMOTE_NOT_STAGED.search(cause) else ''}"


def _last_block(text: str) -> str:
    """What follows the last line about a task's progress."""
    lines = text.splitlines()
    start = max((index + 1 for index, line in enumerate(lines) if PROGRESS_LINE.match(line)), default=0)
    return "\n".join(lines[start:])


def _joined(text: str) -> str:
    return " ".join(text.split())[:LONGEST_SENTENCE]


def _tail_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
