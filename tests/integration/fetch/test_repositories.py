"""Git repositories from git's own server on loopback."""

import os
import ssl
from pathlib import Path

import pytest

from common.errors import EngineError, SystemFailure
from tests.fakes.git_server import GitSite, git, git_site
from tests.fakes.web_server import Site, certificate
from tests.integration.fetch.conftest import LOOPBACK, Bring, files
from wes_service.fetch.web import FetchLimits

FLOW = {"wf/main.cwl": "first", "tools/a.cwl": "tool", "bin/run.sh": "#!/bin/sh\n"}


def test_a_branch_is_pinned_to_its_commit_and_comes_without_history(gits: GitSite, bring: Bring, root: Path) -> None:
    folder = gits.repository("o/r.git", FLOW)
    (folder / "bin/run.sh").chmod(0o755)
    commit = gits.commit(folder, {"wf/main.cwl": "second"})
    fetched = bring(f"git+{gits.url}/o/r.git@main#wf/main.cwl")
    assert fetched.name == "wf/main.cwl"
    assert files(root) == {**FLOW, "wf/main.cwl": "second"}
    assert os.access(root / "attachments/bin/run.sh", os.X_OK)
    assert not os.access(root / "attachments/tools/a.cwl", os.X_OK)
    url = f"{gits.url}/o/r.git"
    assert fetched.source == {
        "url": url,
        "revision": commit,
        "requested_revision": "main",
        "path": "wf/main.cwl",
        "files": 3,
    }
    assert fetched.lines == (f"The workflow is wf/main.cwl of {url} at commit {commit} (asked for: main); 3 files.",)
    assert sorted(path.name for path in root.iterdir()) == ["attachments"]


def test_a_commit_stays_what_it_is_when_its_branch_moves_on(gits: GitSite, bring: Bring, root: Path) -> None:
    folder = gits.repository("r", FLOW)
    pinned = git(folder, "rev-parse", "HEAD")
    gits.commit(folder, {"wf/main.cwl": "second"})
    assert bring(f"git+{gits.url}/r@{pinned}#wf/main.cwl").source["revision"] == pinned
    assert files(root)["wf/main.cwl"] == "first"


@pytest.mark.parametrize("newest_protocol", [True, False])
def test_a_commit_that_no_branch_names_is_found_whatever_the_server_gives(
    gits: GitSite, bring: Bring, root: Path, newest_protocol: bool
) -> None:
    gits.newest_protocol = newest_protocol
    folder = gits.repository("r", FLOW)
    first = git(folder, "rev-parse", "HEAD")
    gits.commit(folder, {"wf/main.cwl": "second"})
    assert bring(f"git+{gits.url}/r@{first[:9]}#wf/main.cwl").source["revision"] == first
    assert files(root)["wf/main.cwl"] == "first"


@pytest.mark.parametrize("newest_protocol", [True, False])
def test_the_default_branch_and_tags_are_found_by_old_and_new_servers(
    gits: GitSite, bring: Bring, root: Path, newest_protocol: bool
) -> None:
    gits.newest_protocol = newest_protocol
    folder = gits.repository("r", FLOW)
    git(folder, "tag", "light")
    git(folder, "tag", "-a", "v1.0", "-m", "a release")
    first = git(folder, "rev-parse", "HEAD")
    second = gits.commit(folder, {"wf/main.cwl": "second"})
    assert bring(f"git+{gits.url}/r#wf/main.cwl").source["revision"] == second
    for tag in ("v1.0", "light", "refs/tags/v1.0"):
        for name in files(root):
            (root / "attachments" / name).unlink()
        assert bring(f"git+{gits.url}/r@{tag}#wf/main.cwl").source["revision"] == first
        assert files(root)["wf/main.cwl"] == "first"


def test_links_of_github_and_gitlab_are_their_repository_at_that_revision(
    tmp_path: Path, bring: Bring, root: Path
) -> None:
    pem = certificate(tmp_path, "github.com", "gitlab.com")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    with git_site(tmp_path, server) as gits:
        folder = gits.repository("o/r", FLOW)
        first = git(folder, "rev-parse", "HEAD")
        git(folder, "branch", "feature/x")
        (tmp_path / "g/sub").mkdir(parents=True)
        (tmp_path / "g/sub/p").symlink_to(folder)
        second = gits.commit(folder, {"wf/main.cwl": "second"})

        def resolve(host: str, port: int) -> list[tuple[str, int]]:
            assert (host in {"github.com", "gitlab.com"}, port) == (True, 443)
            return [("127.0.0.1", gits.port)]

        for link, commit in {
            "https://github.com/o/r/blob/main/wf/main.cwl#L3": second,
            "https://github.com/o/r/blob/feature/x/wf/main.cwl": first,
            f"https://github.com/o/r/blob/{first}/wf/main.cwl": first,
            "https://raw.githubusercontent.com/o/r/refs/heads/main/wf/main.cwl": second,
            "https://gitlab.com/g/sub/p/-/raw/feature/x/wf/main.cwl": first,
        }.items():
            for name in files(root):
                (root / "attachments" / name).unlink()
            fetched = bring(link, resolve=resolve, tls=ssl.create_default_context(cafile=pem))
            assert (fetched.name, fetched.source["revision"]) == ("wf/main.cwl", commit), link
            assert files(root)["wf/main.cwl"] == ("first" if commit == first else "second")
            assert set(files(root)) == set(FLOW)


def test_attachments_lie_in_the_repository_and_win(gits: GitSite, bring: Bring, root: Path) -> None:
    gits.repository("r", {**FLOW, "config.yaml": "theirs"})
    (root / "attachments/config.yaml").write_text("mine")
    (root / "attachments/reads.fq").write_text("reads")
    fetched = bring(f"git+{gits.url}/r#wf/main.cwl")
    assert files(root) == {**FLOW, "config.yaml": "mine", "reads.fq": "reads"}
    assert fetched.lines[-1] == "Attached, so not fetched: config.yaml."
    assert fetched.source["files"] == 3


def test_an_attachment_where_the_repository_needs_a_folder_is_refused(gits: GitSite, bring: Bring, root: Path) -> None:
    gits.repository("r", FLOW)
    (root / "attachments/wf").write_text("a file")
    with pytest.raises(EngineError, match="the attachment 'wf' is in the way"):
        bring(f"git+{gits.url}/r#wf/main.cwl")


def test_symlinks_stay_inside_and_what_is_not_fetched_is_told(gits: GitSite, bring: Bring, root: Path) -> None:
    folder = gits.repository("r", FLOW)
    for name, target in {
        "inside": "wf/main.cwl",
        "tools/up": "../bin",
        "passwd": "/etc/passwd",
        "out": "../../../etc/passwd",
        "sly": "tools/up/../../..",
    }.items():
        (folder / name).symlink_to(target)
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    inner = git(folder, "rev-parse", "HEAD")
    git(folder, "update-index", "--add", "--cacheinfo", f"160000,{inner},sub/module")
    (folder / "sub/module").mkdir(parents=True)
    gits.commit(folder, {"big.bam": pointer})
    fetched = bring(f"git+{gits.url}/r#inside")
    placed = root / "attachments"
    assert sorted(path.name for path in placed.iterdir()) == ["big.bam", "bin", "inside", "tools", "wf"]
    assert (placed / "inside").read_text() == "first"
    assert (placed / "tools/up/run.sh").is_file()
    assert fetched.lines[1:] == (
        "Submodules are not fetched: sub/module.",
        "Git LFS files are not fetched, what is there only points to them: big.bam.",
        "Symlinks that lead out of the repository are left out: out, passwd, sly.",
    )


def _tree(folder: Path, *entries: str) -> str:
    return git(folder, "mktree", "--missing", stdin="".join(f"{entry}\n" for entry in entries).encode())


def test_a_repository_made_to_escape_writes_nothing_outside(gits: GitSite, bring: Bring, root: Path) -> None:
    folder = gits.repository("r", {"main.cwl": "x"})
    file = git(folder, "hash-object", "-w", "main.cwl")
    up = git(folder, "hash-object", "-w", "--stdin", stdin=b"../..")
    link = _tree(folder, f"120000 blob {up}\tb")
    for number, entries in enumerate(
        [
            [f"100644 blob {file}\t..", f"100644 blob {file}\tmain.cwl"],
            [
                f"040000 tree {_tree(folder, f'100644 blob {file}{chr(9)}config')}\t.git",
                f"100644 blob {file}\tmain.cwl",
            ],
            [f"120000 blob {up}\ta", f"040000 tree {link}\ta", f"100644 blob {file}\tmain.cwl"],
        ]
    ):
        commit = git(folder, "commit-tree", _tree(folder, *entries), "-m", "bad")
        git(folder, "branch", f"bad{number}", commit)
    before = {path for path in root.parent.rglob("*") if "gits" not in path.parts}
    assert bring(f"git+{gits.url}/r@bad0#main.cwl").lines[-1] == "Files whose names can't be kept are left out: '..'."
    (root / "attachments/main.cwl").unlink()
    assert bring(f"git+{gits.url}/r@bad1#main.cwl").lines[-1].endswith("left out: '.git/config'.")
    (root / "attachments/main.cwl").unlink()
    assert bring(f"git+{gits.url}/r@bad2#main.cwl").lines[-1].endswith("out of the repository are left out: a/b.")
    after = {path for path in root.parent.rglob("*") if "gits" not in path.parts}
    assert {path.relative_to(root).parts[0] for path in after - before} == {"attachments"}


@pytest.mark.parametrize(
    ("end", "says"),
    [
        ("r@gone#wf/main.cwl", "has no branch, tag or commit 'gone'"),
        ("r@0123456789abcdef0123456789abcdef01234567#wf/main.cwl", "no commit 0123456789abcdef"),
        ("r@0123abcd#wf/main.cwl", "no commit 0123abcd"),
        ("r#wf/gone.cwl", r"has no file wf/gone.cwl at HEAD \(commit [0-9a-f]{40}\)"),
        ("r#wf", "has no file wf at HEAD"),
        ("gone#wf/main.cwl", "is no git repository, or not one that is open to all"),
    ],
)
def test_what_is_not_there_is_told_by_its_name(gits: GitSite, bring: Bring, root: Path, end: str, says: str) -> None:
    gits.repository("r", FLOW)
    with pytest.raises(EngineError, match=says):
        bring(f"git+{gits.url}/{end}")
    assert sorted(path.name for path in root.iterdir()) == ["attachments"]


def test_a_repository_over_a_limit_is_refused(gits: GitSite, bring: Bring, root: Path) -> None:
    gits.repository("r", {**FLOW, "big": os.urandom(100_000), "bomb": b"0" * 3_000_000})
    allow = LOOPBACK.allow
    with pytest.raises(EngineError, match=r"larger than 50000 bytes .*WES_MAX_WORKFLOW_BYTES"):
        bring(f"git+{gits.url}/r#wf/main.cwl", limits=FetchLimits(allow=allow, workflow_bytes=50_000))
    with pytest.raises(EngineError, match="larger than 2000000 bytes"):
        bring(f"git+{gits.url}/r#wf/main.cwl", limits=FetchLimits(allow=allow, workflow_bytes=2_000_000))
    for name in files(root):
        (root / "attachments" / name).unlink()
    with pytest.raises(EngineError, match=r"more than 4 files \(WES_MAX_WORKFLOW_FILES\)"):
        bring(f"git+{gits.url}/r#wf/main.cwl", limits=FetchLimits(allow=allow, workflow_files=4))


def test_a_web_page_is_no_repository(site: Site, bring: Bring) -> None:
    site.pages["/page/info/refs?service=git-upload-pack"] = "<html>"
    with pytest.raises(EngineError, match=r"/page is no git repository"):
        bring(f"git+{site.url}/page#wf.cwl")
    assert len(site.asked) == 1


def test_a_private_host_is_not_asked(gits: GitSite, bring: Bring) -> None:
    gits.repository("r", FLOW)
    with pytest.raises(EngineError, match="WES_FETCH_ALLOW"):
        bring(f"git+{gits.url}/r#wf/main.cwl", limits=FetchLimits())
    assert gits.asked == []


def test_a_git_server_that_is_down_is_to_blame_itself(bring: Bring) -> None:
    with pytest.raises(SystemFailure, match=r"can't be reached .*\(3 times\)"):
        bring("git+http://127.0.0.1:1/r#wf/main.cwl")
