"""The copy of /etc that sandboxes see: all but what is secret or names the machine and its people."""

import os
from pathlib import Path

import pytest

from sandbox.bubblewrap import write_sandbox_files
from sandbox.host_etc import copy_etc, is_hidden

PUBLIC = (
    "R/Renviron",
    "fastqc/limits.txt",
    "java-17-openjdk/security/java.security",
    "ssl/certs/ca-certificates.crt",
    "ssl/openssl.cnf",
    "fonts/fonts.conf",
    "ld.so.conf.d/x86_64-linux-gnu.conf",
    "nsswitch.conf",
    "os-release",
    "services",
    "magic",
    "vim/vimrc",
    "perl/Net/libnet.cfg",
    "ImageMagick-6/policy.xml",
    "profile.d/apps-bin-path.sh",
)
SECRET = (
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "sudoers",
    "sudoers.d/90-cloud-init-users",
    "ssh/ssh_host_ed25519_key",
    "ssh/sshd_config",
    "ssl/private/server.pem",
    "ssl/apps/server.key",
    "pki/nssdb/private/ca.pem",
    "security/opasswd",
    "krb5.keytab",
    "wireguard/wg0.conf",
    "NetworkManager/system-connections/lab.nmconnection",
    "netplan/50-cloud-init.yaml",
    "docker/daemon.json",
    "kubernetes/admin.conf",
    "letsencrypt/live/lab/privkey.pem",
    "ppp/chap-secrets",
    "cloud/cloud.cfg",
    "boto.cfg",
    "apt/auth.conf.d/90ubuntu-advantage",
    "wes/token",
    "app/client.p12",
    "app/db-password.txt",
    "postgresql/16/main/pg_hba.conf",
)
PERSONAL = (
    "machine-id",
    "hostname",
    "hosts",
    "passwd",
    "passwd-",
    "group",
    "subuid",
    "subgid-",
    "resolv.conf",
    "fstab",
    "mtab",
    "crypttab",
)


@pytest.mark.parametrize("path", PUBLIC)
def test_what_programs_read_is_shown(path: str) -> None:
    assert not any(is_hidden(part) for part in prefixes(path))


@pytest.mark.parametrize("path", SECRET + PERSONAL)
def test_what_is_secret_or_names_the_machine_or_its_people_is_hidden(path: str) -> None:
    assert any(is_hidden(part) for part in prefixes(path))


@pytest.fixture
def ubuntu(tmp_path: Path) -> Path:
    """An /etc in which all files are readable, so that only the list hides them."""
    root = tmp_path / "etc"
    for path in PUBLIC + SECRET + PERSONAL:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
        (root / path).chmod(0o644)
    for folder in (root, *(each for each in root.rglob("*") if each.is_dir())):
        folder.chmod(0o755)
    (root / "localtime").symlink_to("/usr/share/zoneinfo/Etc/UTC")
    return root


def test_of_an_ubuntu_just_the_public_files_are_copied(ubuntu: Path, tmp_path: Path) -> None:
    copy_etc(ubuntu, tmp_path / "copy", frozenset())
    assert files(tmp_path / "copy") == {*PUBLIC, "localtime"}
    assert (tmp_path / "copy/localtime").readlink() == Path("/usr/share/zoneinfo/Etc/UTC")
    assert (tmp_path / "copy/R/Renviron").read_text() == "R/Renviron"


def test_what_not_everybody_may_read_is_left_out_whatever_its_name(ubuntu: Path, tmp_path: Path) -> None:
    (ubuntu / "R/site").write_text("x")
    (ubuntu / "R/site").chmod(0o640)
    (ubuntu / "vim").chmod(0o750)
    os.mkfifo(ubuntu / "R/pipe")
    copy_etc(ubuntu, tmp_path / "copy", frozenset())
    assert files(tmp_path / "copy") == {*PUBLIC, "localtime"} - {"vim/vimrc"}


def test_a_private_key_in_a_file_of_any_name_is_left_out(ubuntu: Path, tmp_path: Path) -> None:
    (ubuntu / "ssl/certs/both.pem").write_text("-----BEGIN RSA PRIVATE KEY-----\nx\n")
    copy_etc(ubuntu, tmp_path / "copy", frozenset())
    assert not (tmp_path / "copy/ssl/certs/both.pem").exists()


def test_the_copy_follows_what_changes(ubuntu: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy_etc(ubuntu, copy, frozenset())
    (copy / "own").write_text("mine")
    (ubuntu / "R/Renviron").write_text("new")
    (ubuntu / "magic").unlink()
    (ubuntu / "magic").mkdir(mode=0o755)
    (ubuntu / "magic/more").write_text("a folder now")
    (ubuntu / "services").unlink()
    (ubuntu / "services").symlink_to("protocols")
    (ubuntu / "vim/vimrc").rename(ubuntu / "vimrc")
    (ubuntu / "fonts/fonts.conf").chmod(0o600)
    copy_etc(ubuntu, copy, frozenset({"own"}))
    wanted = {*PUBLIC, "localtime", "own", "magic/more", "vimrc"} - {"magic", "vim/vimrc", "fonts/fonts.conf"}
    assert files(copy) == wanted
    assert (copy / "R/Renviron").read_text() == "new"
    assert (copy / "services").readlink() == Path("protocols")
    assert (copy / "own").read_text() == "mine"


def test_of_this_machine_programs_settings_are_there_and_nothing_secret_is(tmp_path: Path) -> None:
    etc = write_sandbox_files(tmp_path / "sandbox") / "etc"
    for needed in ("ld.so.conf", "nsswitch.conf", "alternatives", "os-release"):
        if os.path.lexists(f"/etc/{needed}"):
            assert os.path.lexists(etc / needed), needed
    for path in SECRET:
        assert not os.path.lexists(etc / path), path
    assert (etc / "passwd").read_text().startswith("run:x:1000:")
    assert (etc / "hostname").read_text() == "run\n"
    for own in (path for path in PERSONAL if path not in {"passwd", "group", "hosts", "hostname"}):
        assert not os.path.lexists(etc / own), own
    for path in files(etc):
        if path not in {"passwd", "group", "hosts", "hostname"} and not (etc / path).is_symlink():
            assert os.lstat(f"/etc/{path}").st_mode & 0o004, f"{path} is not for everybody"
            assert b"PRIVATE KEY" not in (etc / path).read_bytes(), path


def prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or path.is_file()}
