"""docker-compose.yml and what belongs to it: nothing runs as root, no secret has a default, no name is mistyped."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tes_service.settings import TesSettings
from wes_cli.main import COMMANDS
from wes_service.settings import Settings

REPOSITORY = Path(__file__).parents[3]
COMPOSE = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("api", "worker", "tes")
SANDBOXED = ("worker", "tes")
SECCOMP = json.loads((REPOSITORY / "deploy" / "seccomp.json").read_text())
ALLOWED = {name for rule in SECCOMP["syscalls"] for name in rule["names"]}
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text()


def test_there_is_all_that_the_service_is_made_of() -> None:
    assert set(SERVICES) == {"api", "worker", "tes", "database", "redis"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_is_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not {"privileged", "cap_add", "devices", "pid", "network_mode"} & set(service)
    if name in OURS:
        assert "user" not in service
        assert service["read_only"] is True
        (user,) = re.findall(r"^USER (\d+):\d+$", DOCKERFILE, re.MULTILINE)
        assert int(user) > 1000
    else:
        assert service["user"] in {"postgres", "redis"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_only_where_foreign_code_runs_is_the_container_opened_for_the_sandbox(name: str) -> None:
    options = [option for option in SERVICES[name]["security_opt"] if option != "no-new-privileges:true"]
    wanted = ["seccomp=deploy/seccomp.json", "apparmor=${WES_APPARMOR:-wes-tes}", "systempaths=unconfined"]
    assert options == (wanted if name in SANDBOXED else [])


def test_every_secret_is_a_file_that_the_operator_has_to_name() -> None:
    for name, secret in COMPOSE["secrets"].items():
        assert re.fullmatch(rf"\$\{{WES_SECRETS:\?[^}}]+\}}/{name}", secret["file"])
    used = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    assert used == set(COMPOSE["secrets"])
    assert "token" in SERVICES["api"]["secrets"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_environment_or_command_line_holds_a_secret(name: str) -> None:
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search("TOKEN|PASSWORD|SECRET", variable):
            assert variable.endswith("_FILE")
            assert value.removeprefix("/run/secrets/") in service["secrets"]
        assert not re.search(r"://[^/@]*:[^/@]*@", str(value))
    assert not re.search("token|secret", " ".join(service.get("command", ())))


@pytest.mark.parametrize("name", OURS)
def test_every_variable_and_command_is_one_that_there_is(name: str) -> None:
    known = {f"WES_{field.upper()}" for field in Settings.model_fields}
    known |= {f"TES_{field.upper()}" for field in TesSettings.model_fields}
    assert set(SERVICES[name]["environment"]) <= known
    assert SERVICES[name]["command"][0] in COMMANDS
    in_image = re.findall(r"^(?:ENV)?\s+((?:WES|TES)_\w+)=", DOCKERFILE, re.MULTILINE)
    assert in_image
    assert set(in_image) <= known


def test_all_other_settings_come_from_one_file_that_need_not_be_there() -> None:
    given = {
        name
        for name, service in SERVICES.items()
        if service.get("env_file") == [{"path": "wes.env", "required": False}]
    }
    assert given == set(OURS)


def test_only_the_api_is_reached_from_outside_and_by_default_from_this_machine_alone() -> None:
    assert {name for name, service in SERVICES.items() if "ports" in service} == {"api"}
    assert SERVICES["api"]["ports"] == ["${WES_LISTEN:-127.0.0.1:8080}:8080"]
    for name in ("database", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"api"}))
def test_every_service_says_whether_it_is_well(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_the_image_of_the_api_says_it_by_healthz() -> None:
    assert "http://127.0.0.1:8080/healthz" in DOCKERFILE
    assert "healthcheck" not in SERVICES["api"]


def test_the_image_is_made_of_checked_packages_and_starts_without_a_shell() -> None:
    assert "--require-hashes -r requirements/run.txt" in DOCKERFILE
    assert 'ENTRYPOINT ["tini", "--", "wes"]' in DOCKERFILE
    assert "ADD " not in DOCKERFILE
    assert DOCKERFILE.index("\nUSER ") > DOCKERFILE.rindex("\nRUN ")


def test_the_image_gets_all_packages_and_nothing_else() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = {"openapi", *settings["root_packages"]}
    assert named == packages | {"LICENSE", "README.md", "pyproject.toml", "requirements/run.txt"}
    assert all((REPOSITORY / name).exists() for name in named)


@pytest.mark.parametrize(
    "name", ["clone", "clone3", "unshare", "mount", "umount2", "pivot_root", "sethostname", "prctl"]
)
def test_the_sandbox_may_make_the_calls_that_it_needs(name: str) -> None:
    assert name in ALLOWED


@pytest.mark.parametrize(
    "name",
    [
        *("bpf", "perf_event_open", "ptrace", "process_vm_readv", "process_vm_writev", "userfaultfd", "kcmp"),
        *("init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load", "reboot", "setns"),
        *("add_key", "keyctl", "request_key", "open_by_handle_at", "quotactl", "swapon", "swapoff", "syslog"),
        *("clock_settime", "settimeofday", "io_uring_setup", "iopl", "ioperm", "modify_ldt", "acct"),
        *("fsopen", "fsmount", "move_mount", "open_tree", "mount_setattr", "fanotify_init", "chroot"),
    ],
)
def test_no_container_may_make_calls_that_only_help_to_get_out(name: str) -> None:
    assert SECCOMP["defaultAction"] == "SCMP_ACT_ERRNO"
    assert name not in ALLOWED


def test_no_other_architecture_goes_around_the_list() -> None:
    assert all(entry["subArchitectures"] == [] for entry in SECCOMP["archMap"])


def test_apparmors_profile_has_the_name_that_the_containers_ask_for() -> None:
    assert "\nprofile wes-tes " in (REPOSITORY / "deploy" / "apparmor-wes-tes").read_text()


def test_every_image_is_the_operators_to_choose_and_so_to_pin_by_digest() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages
    assert set(stages) == {"${BASE_IMAGE}"}
    assert not re.findall(r"--from=(?!build\b)\S+", DOCKERFILE), "an image that no argument chooses"
    for name, service in SERVICES.items():
        assert re.fullmatch(r"\$\{WES_[A-Z_]*IMAGE:-[^}]+\}", service["image"]), name
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)
    built = [service["build"]["args"] for service in SERVICES.values() if "build" in service]
    assert built == [{"BASE_IMAGE": f"${{WES_BASE_IMAGE:-{base}}}"}]
