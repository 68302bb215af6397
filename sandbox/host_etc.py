"""What foreign code sees as /etc: a copy of the host's without what is secret or names this machine and its people.

A copy, as a sandbox over the real folder would show what is put there later, and a mount for each entry costs more than
all the rest of a sandbox. What is not readable for everyone is never copied, whatever its name.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

LARGEST_FILE = 64 * 1024**2
"""A larger file (bytes) is not configuration, and not copied."""
PRIVATE_KEY = b"PRIVATE KEY-----"

SECRETS: Mapping[str, str] = {
    "passwords, and who may become whom": "shadow* gshadow* master.passwd .pwd.lock sudoers* sudo.conf doas.conf "
    "security pam.d polkit-1",
    "keys": "ssh dropbear ssl/private pki/private pki/*/private letsencrypt acme* gnupg krb5* tpm* crypttab* luks*",
    "networks, tunnels, shares": "wireguard openvpn ipsec* strongswan* swanctl ppp chatscripts wpa_supplicant netplan "
    "NetworkManager network networks dhcp* bluetooth samba cifs* smb* exports* auto.* autofs* davfs2 iscsi target nvme "
    "nfs* resolv.conf hosts* hostname",
    "services, their accounts and what they are started with": "docker containerd containers cni kubernetes rancher "
    "ceph munge* slurm* salt puppet* ansible chef vault* consul* nomad* postgresql* mysql* mongo* redis* valkey* "
    "rabbitmq* ldap* libnss-ldap* pam_ldap* nslcd* sssd apache2 httpd nginx lighttpd haproxy postfix exim* msmtp* "
    "mailname aliases* zabbix* telegraf* prometheus* grafana* rsyslog* cups systemd init.d rc?.d default cron* "
    "anacrontab at.* wes wes-tes",
    "clouds, and sources of packages, whose addresses may hold passwords": "cloud waagent* azure amazon aws ec2* "
    "google* gce* boto.cfg rclone* landscape ubuntu-advantage apt yum* dnf zypp pip.conf npmrc gitconfig wgetrc curlrc "
    "environment environment.d maven/settings*",
    "this machine and its people": "passwd* group* subuid* subgid* machine-id hostid fstab* mtab issue* motd* printcap "
    "audit lvm mdadm*",
}
"""By what they would tell, patterns of paths below /etc."""
SECRETS_ANYWHERE = (
    "*.key *_key *-key.pem privkey* *.p12 *.pfx *.keytab id_rsa* id_dsa* id_ecdsa* id_ed25519* .netrc .pgpass "
    ".git-credentials *password* *passwd* *secret* *credential* *token* *.ovpn"
)
"""Patterns of names in whatever folder, in small letters."""
HIDDEN = tuple(" ".join(SECRETS.values()).split())
HIDDEN_ANYWHERE = tuple(SECRETS_ANYWHERE.split())


def is_hidden(path: str) -> bool:
    """Whether a path relative to /etc is kept from foreign code; with a folder goes all that lies in it."""
    name = path.rpartition("/")[2].lower()
    return any(fnmatchcase(path, one) for one in HIDDEN) or any(fnmatchcase(name, one) for one in HIDDEN_ANYWHERE)


def copy_etc(source: Path, target: Path, own: frozenset[str]) -> None:
    """Makes `target` equal to what may be seen of `source`; files named in `own` are left alone in it.

    Safe while others read it, or do the same. `OSError` where it can't be written.
    """
    make_open_folder(target)
    expected = dict(_visible(source, ""))
    _remove_others(target, "", {**expected, **dict.fromkeys(own, stat.S_IFREG)})
    with tempfile.TemporaryDirectory(dir=target.parent) as place:
        for path, kind in expected.items():
            # What went away meanwhile is not there.
            with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
                _copy(kind, source / path, target / path, Path(place) / "new")


def make_open_folder(folder: Path) -> None:
    """One that everybody may read, whatever this process's umask is."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def _visible(folder: Path, above: str) -> Iterator[tuple[str, int]]:
    """Paths and kinds (`S_IFMT`), folders before what is in them."""
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            path = f"{above}{entry.name}"
            found = entry.stat(follow_symlinks=False)
            if is_hidden(path) or not _open_to_all(found):
                continue
            yield path, stat.S_IFMT(found.st_mode)
            if stat.S_ISDIR(found.st_mode):
                yield from _visible(folder / entry.name, f"{path}/")


def _open_to_all(found: os.stat_result) -> bool:
    if stat.S_ISREG(found.st_mode):
        return bool(found.st_mode & stat.S_IROTH) and found.st_size <= LARGEST_FILE
    both = stat.S_IROTH | stat.S_IXOTH
    return stat.S_ISLNK(found.st_mode) or (stat.S_ISDIR(found.st_mode) and found.st_mode & both == both)


def _remove_others(folder: Path, above: str, expected: Mapping[str, int]) -> None:
    """What is not to be there any more, or is of another kind now."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = f"{above}{entry.name}"
            is_folder = entry.is_dir(follow_symlinks=False)
            if stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode) == expected.get(path):
                if is_folder:
                    _remove_others(folder / entry.name, f"{path}/", expected)
            elif is_folder:
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                Path(entry.path).unlink(missing_ok=True)


def _copy(kind: int, source: Path, target: Path, new: Path) -> None:
    if kind == stat.S_IFDIR:
        make_open_folder(target)
    elif kind == stat.S_IFLNK:
        link = source.readlink()
        if not target.is_symlink() or target.readlink() != link:
            new.symlink_to(link)
            new.rename(target)
    elif not target.exists() or _version(source) != _version(target):
        _copy_file(source, target, new)


def _version(file: Path) -> tuple[int, int, int]:
    found = file.lstat()
    return found.st_mtime_ns, found.st_size, found.st_mode & stat.S_IXOTH


def _copy_file(source: Path, target: Path, new: Path) -> None:
    text = source.read_bytes()
    if PRIVATE_KEY in text:
        target.unlink(missing_ok=True)
        return
    found = source.stat()
    new.write_bytes(text)
    new.chmod(0o755 if found.st_mode & stat.S_IXOTH else 0o644)
    os.utime(new, ns=(found.st_atime_ns, found.st_mtime_ns))
    new.rename(target)
