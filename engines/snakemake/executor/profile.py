"""What profiles and engine parameters set for a run, as `snakemake --workflow-profile` and its other options do."""

from argparse import Namespace
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from snakemake.cli import get_argument_parser, get_profile_dir, parse_config
from snakemake.common.configfile import load_configfile
from snakemake.exceptions import WorkflowError
from snakemake.profiles import ConfigFileParserException, ProfileConfigFileParser
from snakemake.utils import update_config

from engines.kit.reports import report
from engines.snakemake.executor.files import with_paths
from engines.snakemake.executor.settings import DEFAULT_LATENCY_WAIT, DEFAULT_PARALLEL, SnakemakeSettings

DEFAULT_PROFILE = "default"
NO_PROFILE = "none"
PROFILES = "profiles"
LISTS = (
    "set-resources",
    "set-threads",
    "set-scatter",
    "set-resource-scopes",
    "resources",
    "groups",
    "group-components",
)
"""Options of Snakemake's that take several values, and mean here what they mean there."""
OPTIONS = (*LISTS, "config", "configfile", "jobs", "retries", "latency-wait", "max-threads")
FLAGS = ("keep-going",)
DEFAULT_RESOURCES = "default-resources"
"""Read by its own: Snakemake's command line would add memory and disk that nobody asked for."""
OTHER_NAMES = {"configfiles": "configfile", "restart-times": "retries", "res": "resources"}
MOST_JOBS = 10_000
UNREADABLE = "a setting of the profile or of the engine parameters can't be read: "


@dataclass(frozen=True, kw_only=True)
class SnakemakeOptions:
    """What the run goes by. `given`: options of Snakemake's by name, as its own command line reads them.

    `default_resources`: NAME=VALUE, for rules that do not say.
    """

    given: Namespace = field(default_factory=Namespace)
    default_resources: tuple[str, ...] = ()

    def get(self, name: str) -> Any:
        """None where nothing is given."""
        return getattr(self.given, name, None)


def run_options(settings: SnakemakeSettings) -> SnakemakeOptions:
    """Of the profile that there is, and of the engine parameters; `WorkflowError` where they can't be read."""
    found = _profile(settings)
    texts = _read(found) if found else {}
    for name, words in settings.snakemake_options.items():
        texts[name] = [*texts.get(name, []), *words]
    if not texts:
        return SnakemakeOptions()
    default_resources = texts.pop(DEFAULT_RESOURCES, [])
    try:
        given = _parsed(texts)
    except ValueError as error:
        raise WorkflowError(f"{UNREADABLE}{error}") from None
    return SnakemakeOptions(given=given, default_resources=tuple(default_resources))


def with_options(settings: SnakemakeSettings, options: SnakemakeOptions) -> SnakemakeSettings:
    """A profile's settings count where the engine parameter is what stands for none."""

    def one(own: int, unset: int, name: str) -> int:
        value = options.get(name)
        return own if own != unset or value is None else int(value)

    return replace(
        settings,
        parallel=min(one(settings.parallel, DEFAULT_PARALLEL, "jobs"), MOST_JOBS),
        retries=one(settings.retries, 0, "retries"),
        latency_wait=one(settings.latency_wait, DEFAULT_LATENCY_WAIT, "latency_wait"),
        max_threads=min(filter(None, (settings.max_threads, options.get("max_threads"))), default=0),
        on_error="continue" if options.get("keep_going") else settings.on_error,
    )


def merged_config(settings: SnakemakeSettings, options: SnakemakeOptions) -> dict[str, Any]:
    """The run's `config`, before what a `configfile:` says: the profile's, then the engine parameter's config files,
    then the params."""
    config: dict[str, Any] = {}
    for path in options.get("configfile") or ():
        update_config(config, load_configfile(path))
    update_config(config, _config_of_profile(options))
    for path in settings.configfiles:
        update_config(config, load_configfile(path))
    update_config(config, with_paths(dict(settings.params)))
    return config


def _config_of_profile(options: SnakemakeOptions) -> Mapping[str, Any]:
    words = options.get("config")
    return dict(parse_config(words)) if words else {}


def _profile(settings: SnakemakeSettings) -> Path | None:
    """The profile's file, where Snakemake looks for that of a workflow; `WorkflowError` where the named one is not."""
    if settings.profile == NO_PROFILE:
        return None
    name = settings.profile or DEFAULT_PROFILE
    places = [settings.work / PROFILES / name, settings.workflow.parent / PROFILES / name]
    if settings.profile:
        places.insert(0, settings.work / name)
    for place in places:
        if place.exists():
            found = get_profile_dir(str(place)) if place.is_dir() else (place.parent, place)
            if found:
                return Path(found[1])
    if settings.profile:
        raise WorkflowError(
            f"there is no profile {settings.profile!r} among the attachments: attach its folder, with a config.yaml in "
            f"it, as {PROFILES}/{settings.profile}"
        )
    return None


def _read(path: Path) -> dict[str, list[str]]:
    """The settings of a profile that mean something here; a line of the log names the others."""
    try:
        with path.open() as file:
            content = ProfileConfigFileParser().parse(file)
    except (ConfigFileParserException, UnicodeDecodeError) as error:
        raise WorkflowError(f"the profile {path} can't be read: {error}") from None
    names = {name: OTHER_NAMES.get(name.replace("_", "-"), name.replace("_", "-")) for name in content}
    known = {*OPTIONS, *FLAGS, DEFAULT_RESOURCES}
    others = [name for name, option in names.items() if option not in known]
    left = f"; not used here: {', '.join(others)}" if others else ""
    report(f"the profile {path} is used{left}")
    return {names[name]: _words(value) for name, value in content.items() if names[name] in known}


def _words(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def _parsed(texts: Mapping[str, Iterable[str]]) -> Namespace:
    """As Snakemake's own command line reads it."""

    def refuse(message: str) -> NoReturn:
        raise WorkflowError(f"{UNREADABLE}{message}")

    argv: list[str] = []
    for name, words in texts.items():
        if name not in FLAGS:
            argv += [f"--{name}", *words]
        elif any(word.casefold() == "true" for word in words):
            argv.append(f"--{name}")
    parser = get_argument_parser()
    parser.error = refuse
    return Namespace(**vars(parser.parse_args(argv)))
