"""A user's own Nextflow: which jars its launcher starts, and which plugins it has."""

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

from common.errors import SystemFailure
from engines.nextflow.installed_plugins import newest_plugins
from engines.nextflow.java import Java, find_java, java_folders
from engines.nextflow.launch import GA4GH
from engines.recipe import Trial

RECORD_FILE = "own.json"
"""In an environment: what this module found."""
VERSION_SUFFIX = "+own"
OLDEST_NEXTFLOW = (25, 4)
PRINTED_VERSION = re.compile(r"^[ \t]*version[ \t]+(\d+\.\d+\S*)", re.MULTILINE)
ARGUMENT_MARK = "wes-tes java argument: "
BEGIN_MARK = f"{ARGUMENT_MARK}begin"
JAVA_SHIM = """\
#!/bin/sh
# Stands in for Java, to learn what it is started with.
case " $* " in *" -jar "* | *" -cp "* | *" -classpath "*)
  printf '%s\\n' '{begin}'
  for argument in "$@"; do printf '{mark}%s\\n' "$argument"; done ;;
esac
exec '{java}' "$@"
"""


@dataclass(frozen=True, kw_only=True)
class OwnNextflow:
    """`version` as Nextflow tells it, the jars that it consists of, further options for Java, the plugins' folder or
    None, and the version of nf-ga4gh that sends the tasks (None: this project's own executor does)."""

    version: str
    classpath: tuple[Path, ...]
    options: tuple[str, ...] = ()
    plugins: Path | None = None
    ga4gh: str | None = None

    def readable(self, home: Path) -> tuple[Path, ...]:
        """What a run has to see: never the user's Nextflow folder as a whole, which may hold credentials."""
        folders = [
            path.parent if path.is_relative_to(home) and path.parent != home else path for path in self.classpath
        ]
        return tuple(dict.fromkeys([*folders, *([self.plugins] if self.plugins else [])]))


def nextflow_home() -> Path:
    """Where a user's Nextflow keeps its jars and plugins."""
    # The variable is Nextflow's; it is none of this service's settings.
    return Path(os.environ.get("NXF_HOME") or Path.home() / ".nextflow").absolute()


def plugins_folder(home: Path) -> Path | None:
    """Where a user's Nextflow keeps its plugins, if there is such a folder."""
    folder = Path(os.environ.get("NXF_PLUGINS_DIR") or home / "plugins").absolute()
    return folder.resolve() if folder.is_dir() else None


def inspect_launcher(
    program: Path, home: Path, place: Path, may_read: Callable[[Path], bool], trial: Trial
) -> OwnNextflow:
    """What `program`, Nextflow's launcher, starts; `SystemFailure` says what is in the way."""
    launcher = program.expanduser().resolve()
    if not launcher.is_file():
        raise SystemFailure(f"there is no file {program}; name the launcher, e.g. the one of: which nextflow")
    for path in (launcher, *([home] if home.exists() else [])):
        _check_readable(path, may_read)
    java = find_java(may_read)
    if java is None:
        raise SystemFailure("no Java 17 to 24 found that engines can run: install one, or set JAVA_HOME")
    printed = trial(
        [str(launcher), "-version"],
        environment=_environment(home, _shim(place, java)),
        readable=[place, launcher, home, *java_folders(java)],
    )
    found = _parse(printed.stdout, printed.stderr, launcher)
    for path in found.classpath:
        _check_readable(path, may_read)
    plugins = plugins_folder(home)
    if plugins is not None:
        _check_readable(plugins, may_read)
    return replace(found, plugins=plugins, ga4gh=newest_plugins(plugins).get(GA4GH) if plugins else None)


def write_record(environment: Path, own: OwnNextflow) -> None:
    """Writes down what an environment leads to, for every later run."""
    document = {**asdict(own), "classpath": [str(path) for path in own.classpath]}
    document["plugins"] = str(own.plugins) if own.plugins else None
    (environment / RECORD_FILE).write_text(json.dumps(document, indent=1))
    (environment / RECORD_FILE).chmod(0o644)


def read_record(environment: Path) -> OwnNextflow | None:
    """None where the environment is not one of a user's own Nextflow."""
    try:
        document = json.loads((environment / RECORD_FILE).read_text())
    except FileNotFoundError:
        return None
    return OwnNextflow(
        version=document["version"],
        classpath=tuple(Path(path) for path in document["classpath"]),
        options=tuple(document["options"]),
        plugins=Path(document["plugins"]) if document["plugins"] else None,
        ga4gh=document["ga4gh"],
    )


def active_ga4gh(own: OwnNextflow | None) -> str | None:
    """The version of nf-ga4gh that sends the tasks, as long as it is where it was."""
    if own is None or own.plugins is None or own.ga4gh is None:
        return None
    return own.ga4gh if (own.plugins / f"{GA4GH}-{own.ga4gh}").is_dir() else None


def check_jars_exist(own: OwnNextflow) -> None:
    """`SystemFailure` where its jars are gone, as after an upgrade that removed the old ones."""
    gone = next((path for path in own.classpath if not path.exists()), None)
    if gone is not None:
        raise SystemFailure(
            f"your own Nextflow {own.version} is not where it was ({gone} is gone): "
            f"wes engines install nextflow --own LAUNCHER"
        )


def read_java_arguments(stdout: str) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """The class path and the further options of the last Java that was started."""
    lines = stdout.rpartition(BEGIN_MARK)[2].splitlines()
    arguments = [line.removeprefix(ARGUMENT_MARK) for line in lines if line.startswith(ARGUMENT_MARK)]
    classpath: list[Path] = []
    for name, value in pairwise(arguments):
        if name in {"-jar", "-cp", "-classpath"}:
            classpath = [path for entry in value.split(":") if entry for path in _entries(entry)]
            break
    return tuple(classpath), tuple(option for option in arguments if option.startswith("--") and "=" in option)


def _entries(entry: str) -> list[Path]:
    if entry.endswith("/*"):
        return sorted(Path(entry).parent.glob("*.jar"))
    return [Path(entry)]


def _parse(stdout: str, stderr: str, launcher: Path) -> OwnNextflow:
    version = PRINTED_VERSION.search(stdout)
    if version is None:
        last = " ".join((stdout + stderr).split())[-300:]
        raise SystemFailure(
            f"'{launcher} -version' tells no version without a network: {last or 'it printed nothing'}; run it once "
            f"yourself, so that it fetches what it needs"
        )
    if [int(number) for number in re.findall(r"\d+", version[1])[:2]] < list(OLDEST_NEXTFLOW):
        raise SystemFailure(f"{launcher} is Nextflow {version[1]}; 25.04 or later is needed")
    classpath, options = read_java_arguments(stdout)
    if not classpath:
        raise SystemFailure(
            f"{launcher} does not start the Java that JAVA_CMD, JAVA_HOME or the path name, so its jars can't be found"
        )
    return OwnNextflow(version=version[1], classpath=classpath, options=options)


def _shim(place: Path, java: Java) -> Path:
    shim = place / "bin" / "java"
    shim.parent.mkdir()
    shim.parent.chmod(0o755)
    shim.write_text(JAVA_SHIM.format(begin=BEGIN_MARK, mark=ARGUMENT_MARK, java=java.program))
    shim.chmod(0o755)
    return shim


def _environment(home: Path, shim: Path) -> Mapping[str, str]:
    return {
        "PATH": f"{shim.parent}:/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "JAVA_CMD": str(shim),
        "JAVA_HOME": str(shim.parents[1]),
        "NXF_HOME": str(home),
        "NXF_OFFLINE": "true",
        "NXF_DISABLE_CHECK_LATEST": "true",
        "NXF_ANSI_LOG": "false",
    }


def _check_readable(path: Path, may_read: Callable[[Path], bool]) -> None:
    if not path.exists():
        raise SystemFailure(f"{path} does not exist; NXF_HOME names Nextflow's folder where it is another one")
    # Of a file what counts here is the way to it; whether it can be read itself shows when it is.
    if not may_read(path if path.is_dir() else path.parent):
        raise SystemFailure(
            f"the user that engines run as can't read {path}; let others read it, or keep Nextflow where they can, "
            f"with NXF_HOME naming its folder (e.g. /opt/nextflow)"
        )
