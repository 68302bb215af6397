"""Credentials for registries of images, which only the pull of an image is given: never a task, nor a command line."""

import json
from collections.abc import Mapping
from pathlib import Path

from common.errors import SettingsError
from common.settings import read_private

SETTING = "TES_REGISTRY_AUTH_FILE"
KNOWN = ("auths", "credHelpers", "credsStore")
"""What tells of credentials in a file as `docker login` and `podman login` write it (containers-auth.json(5))."""


def pull_variables(program: str, auth_file: Path | None, folder: Path) -> Mapping[str, str]:
    """The variables with which the program of an engine finds the credentials; `folder` is for docker, which wants the
    file under a name of its own. `SettingsError` where the file is none, or others can read it."""
    if auth_file is None:
        return {}
    _check(auth_file)
    if program == "podman":
        return {"REGISTRY_AUTH_FILE": str(auth_file.absolute())}
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / "config.json"
    link.unlink(missing_ok=True)
    # The file itself, so that credentials that are exchanged there count from the next pull on.
    link.symlink_to(auth_file.absolute())
    return {"DOCKER_CONFIG": str(folder.absolute())}


def _check(auth_file: Path) -> None:
    text = read_private(f"the file of {SETTING},", auth_file)
    if _credentials(text).keys().isdisjoint(KNOWN):
        raise SettingsError(f"{SETTING}: {auth_file} is no config.json with credentials as 'docker login' writes it")


def _credentials(text: str) -> Mapping[str, object]:
    """The document, empty where the text is none."""
    try:
        document = json.loads(text)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
