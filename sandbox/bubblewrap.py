"""The bubblewrap sandbox for foreign code, as data turned into argv (shared/acceptance: sandbox; docs/sandbox.md)."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import SettingsError
from sandbox.host_etc import copy_etc, make_open_folder
from sandbox.identity import Identity
from sandbox.init_process import SandboxPipes

MIB = 1024 * 1024
INSIDE_UID = 1000
OPTIONAL_OPTIONS = frozenset({"--size", "--disable-userns", "--ro-bind-fd"})
"""Options of bwrap that older ones do not have."""
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
ETC = "/etc"
SANDBOX_ETC: Mapping[str, str] = {
    "passwd": f"run:x:{INSIDE_UID}:{INSIDE_UID}:run:/home:/bin/sh\n",
    "group": f"run:x:{INSIDE_UID}:\n",
    "hosts": "127.0.0.1 localhost run\n",
    "hostname": "run\n",
}
"""Files of the sandbox's own in /etc."""
REFRESH_SECONDS = 30.0
BWRAP_ENVIRONMENT: Mapping[str, str] = {}
"""bwrap itself is started with nothing: `--clearenv` does not clear /proc/1/environ."""


@dataclass(frozen=True, kw_only=True)
class Mount:
    """A folder or file of the host at `target` inside; read-only unless `writable`.

    `fd` is an open descriptor (O_PATH) of it that bwrap inherits: where this bubblewrap can, it binds what was opened
    and not what the path leads to by then.
    """

    source: Path
    target: str
    writable: bool = False
    fd: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What foreign code sees besides the read-only system folders. No network, own process, ipc and host names.

    `environment` is all of its environment and is visible in argv: no secret goes there. `tmp_bytes` caps each of
    /tmp, /home and /dev/shm. `files` is from `write_sandbox_files`. `features` are the options that this
    bubblewrap has, from `probe`.
    """

    mounts: tuple[Mount, ...] = ()
    chdir: str = "/tmp"  # noqa: S108 - a tmpfs inside
    environment: Mapping[str, str] = field(default_factory=dict)
    tmp_bytes: int = 4096 * MIB
    files: Path = Path("/nonexistent")
    features: frozenset[str] = frozenset()

    def argv(self, command: Sequence[str], first: SandboxPipes | None = None) -> tuple[str, ...]:
        """The whole bwrap command line that runs `command`, once `FirstProcess` lets it where there is a `first`."""
        parts = [*self._isolation(), *_system(), *self._etc(), *self._volatile(), *self._mounts()]
        parts += ["--remount-ro", "/", "--chdir", self.chdir]
        for name, value in self.environment.items():
            parts += ["--setenv", name, value]
        options = () if first is None else first.options()
        return ("bwrap", *options, *parts, "--", *command)

    def _isolation(self) -> list[str]:
        flags = ["--unshare-all", "--unshare-user", "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID)]
        flags += ["--hostname", "run", "--die-with-parent", "--new-session", "--clearenv"]
        return [*flags, "--disable-userns"] if "--disable-userns" in self.features else flags

    def _etc(self) -> list[str]:
        """One mount, but where something of this sandbox's own is to lie in /etc: then one for each entry around it."""
        targets = frozenset(mount.target for mount in self.mounts if mount.target.startswith(f"{ETC}/"))
        return list(_around(self.files / "etc", ETC, targets))

    def _volatile(self) -> list[str]:
        size = ["--size", str(self.tmp_bytes)] if "--size" in self.features else []
        shm = ["--dev", "/dev", *size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]  # noqa: S108
        return ["--proc", "/proc", *shm, *size, "--tmpfs", "/tmp", *size, "--tmpfs", "/home"]  # noqa: S108

    def _mounts(self) -> list[str]:
        return [part for mount in self.mounts for part in self._mount(mount)]

    def _mount(self, mount: Mount) -> tuple[str, str, str]:
        kind = "--bind" if mount.writable else "--ro-bind"
        if mount.fd is not None and "--ro-bind-fd" in self.features:
            return f"{kind}-fd", str(mount.fd), mount.target
        return kind, str(mount.source), mount.target


def _system() -> list[str]:
    parts = ["--tmpfs", "/"]
    for name in SYSTEM_FOLDERS:
        path = Path(name)
        if path.is_symlink():
            parts += ["--symlink", str(path.readlink()), name]
        elif path.is_dir():
            parts += ["--ro-bind", name, name]
    return parts


def _around(folder: Path, target: str, others: frozenset[str]) -> Iterator[str]:
    """Shows `folder` at `target` in such a way that `others` can be mounted in it."""
    if target in others:
        return
    if not any(other.startswith(f"{target}/") for other in others):
        yield from ("--ro-bind-try", str(folder), target)
    elif folder.is_dir():
        for entry in sorted(folder.iterdir()):
            inner = f"{target}/{entry.name}"
            if entry.is_symlink() and inner not in others:
                yield from ("--symlink", str(entry.readlink()), inner)
            else:
                yield from _around(entry, inner, others)


def write_sandbox_files(folder: Path) -> Path:
    """Writes what `Sandbox.files` names, readable by all: the /etc of sandboxes. Looks at the host's again when it was
    last seen `REFRESH_SECONDS` ago, so call it before each start. `OSError` where it can't be written at all."""
    seen, etc = folder / "seen", folder / "etc"
    if seen.exists() and abs(time.time() - seen.stat().st_mtime) < REFRESH_SECONDS:
        return folder
    make_open_folder(folder)
    try:
        copy_etc(Path(ETC), etc, frozenset(SANDBOX_ETC))
        _write_own(etc)
        seen.touch()
    except OSError:
        # On a disk that is full now what was seen before is good enough.
        if not seen.exists():
            raise
    return folder


def _write_own(etc: Path) -> None:
    for name, text in SANDBOX_ETC.items():
        path = etc / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        path.chmod(0o644)


def is_system(path: Path) -> bool:
    """Whether every sandbox shows it anyway."""
    return any(path.is_relative_to(folder) for folder in (*SYSTEM_FOLDERS, ETC))


@dataclass(frozen=True, kw_only=True)
class SandboxProbe:
    """Whether the sandbox works here; if not, `problem` says why in one line and `fix` what to do."""

    works: bool
    problem: str = ""
    fix: str = ""
    features: frozenset[str] = frozenset()


FIX_MISSING = "apt-get install bubblewrap"
FIX_FORBIDDEN = (
    "allow unprivileged user namespaces: on Ubuntu 24.04 'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0' or "
    "an AppArmor profile for bwrap; in a container '--security-opt seccomp=unconfined --security-opt "
    "systempaths=unconfined' (a seccomp profile that allows the namespace calls is better)"
)


def probe(identity: Identity) -> SandboxProbe:
    """Runs the real sandbox once with `true` (about 10 ms); looking for the binary is not enough."""
    try:
        asked = subprocess.run(["bwrap", "--help"], capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, PermissionError):
        return SandboxProbe(works=False, problem="bubblewrap is not installed", fix=FIX_MISSING)
    features = frozenset((asked.stdout + asked.stderr).split()) & OPTIONAL_OPTIONS
    sandbox = Sandbox(features=features, files=Path(tempfile.gettempdir()), tmp_bytes=MIB)
    argv = [*identity.argv(), *sandbox.argv(["true"])]
    environment = {**BWRAP_ENVIRONMENT, "PATH": os.defpath}
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False, env=environment)
    if ran.returncode == 0:
        return SandboxProbe(works=True, features=features)
    last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
    return SandboxProbe(works=False, problem=f"bubblewrap does not work here: {last}", fix=FIX_FORBIDDEN)


def require_sandbox(found: SandboxProbe, *, unsandboxed: bool, on_loopback: bool) -> None:
    """`SettingsError`, with what to do, where there is no sandbox and `unsandboxed` does not permit to go without."""
    if found.works or (unsandboxed and on_loopback):
        return
    if unsandboxed:
        raise SettingsError(
            f"{found.problem}, and --unsandboxed is possible on loopback only: as this listens elsewhere, others could "
            f"start workflows with all rights of this user. {found.fix}"
        )
    raise SettingsError(
        f"{found.problem}, so workflows would run without a sandbox, with all rights of this user. To have the "
        f"sandbox: {found.fix}. To do without it, on this machine alone: --unsandboxed (WES_UNSANDBOXED=true)"
    )
