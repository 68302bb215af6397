"""The bubblewrap sandbox for foreign code, as data turned into argv (shared/acceptance: sandbox; docs/sandbox.md)."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wes_service.launch.identity import Identity

MIB = 1024 * 1024
INSIDE_UID = 1000
OPTIONAL = frozenset({"--size", "--disable-userns", "--ro-bind-fd"})
"""Options of bwrap that older ones do not have."""
SYSTEM_FOLDERS = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
SYSTEM_ETC = (
    "/etc/alternatives",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/ca-certificates",
    "/etc/fonts",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/perl",
)
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
    /tmp, /home and /dev/shm. `features` are the options that this bubblewrap has, from `probe`.
    """

    mounts: tuple[Mount, ...] = ()
    chdir: str = "/tmp"  # noqa: S108 - a tmpfs inside
    environment: Mapping[str, str] = field(default_factory=dict)
    tmp_bytes: int = 4096 * MIB
    files: Path = Path("/nonexistent")
    features: frozenset[str] = frozenset()

    def argv(self, command: Sequence[str]) -> tuple[str, ...]:
        """The whole bwrap command line that runs `command`."""
        parts = [*self._isolation(), *_system(), *self._own_files(), *self._volatile(), *self._mounts()]
        parts += ["--remount-ro", "/", "--chdir", self.chdir]
        for name, value in self.environment.items():
            parts += ["--setenv", name, value]
        return ("bwrap", *parts, "--", *command)

    def _isolation(self) -> list[str]:
        flags = ["--unshare-all", "--unshare-user", "--uid", str(INSIDE_UID), "--gid", str(INSIDE_UID)]
        flags += ["--hostname", "run", "--die-with-parent", "--new-session", "--clearenv"]
        return [*flags, "--disable-userns"] if "--disable-userns" in self.features else flags

    def _own_files(self) -> list[str]:
        return [
            part
            for name in ("passwd", "group", "hosts")
            for part in ("--ro-bind-try", str(self.files / name), f"/etc/{name}")
        ]

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
    for name in SYSTEM_ETC:
        parts += ["--ro-bind-try", name, name]
    return parts


def write_sandbox_files(folder: Path) -> Path:
    """Writes the passwd, group and hosts files that `Sandbox.files` names; the folder, readable by all."""
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    texts = {
        "passwd": f"run:x:{INSIDE_UID}:{INSIDE_UID}:run:/home:/bin/sh\n",
        "group": f"run:x:{INSIDE_UID}:\n",
        "hosts": "127.0.0.1 localhost run\n",
    }
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
        path.chmod(0o644)
    return folder


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
    features = frozenset((asked.stdout + asked.stderr).split()) & OPTIONAL
    sandbox = Sandbox(features=features, files=Path(tempfile.gettempdir()), tmp_bytes=MIB)
    argv = [*identity.argv(), *sandbox.argv(["true"])]
    environment = {**BWRAP_ENVIRONMENT, "PATH": os.defpath}
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False, env=environment)
    if ran.returncode == 0:
        return SandboxProbe(works=True, features=features)
    last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
    return SandboxProbe(works=False, problem=f"bubblewrap does not work here: {last}", fix=FIX_FORBIDDEN)
