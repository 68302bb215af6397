"""When workflows may run without a sandbox: only where the operator says so, and only on loopback."""

from wes_service.core.errors import SettingsError
from wes_service.launch.sandbox import SandboxProbe


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
