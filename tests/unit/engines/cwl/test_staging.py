import shlex
import subprocess
from pathlib import Path

from engines.cwl.executor.staging import LONGEST_CONTENT, Entry, is_remote, stage, url_of, wrap

OUT = "/var/spool/cwl"
EMPTY = Path("/run/empty")


def test_a_file_is_an_input_at_its_place() -> None:
    staging = stage([Entry(target="/var/lib/cwl/1/a b#.txt", source="/data/a b#.txt")], OUT, EMPTY)
    assert staging.inputs == ({"type": "FILE", "url": "file:///data/a%20b%23.txt", "path": "/var/lib/cwl/1/a b#.txt"},)
    assert staging.commands == ()


def test_a_directory_is_an_input_of_its_type() -> None:
    staging = stage([Entry(target="/var/lib/cwl/1/d", source="/data/d", directory=True)], OUT, EMPTY)
    assert staging.inputs[0]["type"] == "DIRECTORY"


def test_a_url_is_left_to_the_tes() -> None:
    staging = stage([Entry(target="/x/1/a", source="https://example.org/a%20b")], OUT, EMPTY)
    assert staging.inputs[0]["url"] == "https://example.org/a%20b"


def test_a_short_literal_is_sent_as_content() -> None:
    staging = stage([Entry(target="/x/1/a", source="/run/lit", text="")], OUT, EMPTY)
    assert staging.inputs == ({"type": "FILE", "content": "", "path": "/x/1/a"},)


def test_a_long_literal_is_sent_as_a_file() -> None:
    text = "é" * (LONGEST_CONTENT // 2 + 1)
    staging = stage([Entry(target="/x/1/a", source="/run/lit", text=text)], OUT, EMPTY)
    assert staging.inputs == ({"type": "FILE", "url": "file:///run/lit", "path": "/x/1/a"},)


def test_a_writable_file_is_copied_by_the_shell() -> None:
    staging = stage([Entry(target=f"{OUT}/sub/it's.txt", source="/data/a", writable=True)], OUT, EMPTY)
    beside = staging.inputs[0]["path"]
    assert not beside.startswith(OUT)
    source, target = shlex.quote(beside), shlex.quote(f"{OUT}/sub/it's.txt")
    copied = f"mkdir -p {OUT}/sub && cp -R {source} {target} && chmod -R u+w {target}"
    assert staging.commands == (copied,)


def test_a_made_directory_in_the_working_directory_is_made_by_the_shell() -> None:
    made = Entry(target=f"{OUT}/d", source="_:1", directory=True)
    inside = Entry(target=f"{OUT}/d/a", source="/data/a")
    staging = stage([made, inside], OUT, EMPTY)
    assert staging.commands == (f"mkdir -p {OUT}/d",)
    assert [each["path"] for each in staging.inputs] == [f"{OUT}/d/a"]


def test_an_empty_directory_elsewhere_is_an_input() -> None:
    staging = stage([Entry(target="/var/lib/cwl/1/d", source="_:1", directory=True)], OUT, EMPTY)
    assert staging.inputs == ({"type": "DIRECTORY", "url": "file:///run/empty", "path": "/var/lib/cwl/1/d"},)
    assert staging.commands == ()


def test_a_directory_elsewhere_that_has_files_comes_with_them() -> None:
    made = Entry(target="/var/lib/cwl/1/d", source="_:1", directory=True)
    inside = Entry(target="/var/lib/cwl/1/d/a", source="/data/a")
    assert [each["path"] for each in stage([made, inside], OUT, EMPTY).inputs] == ["/var/lib/cwl/1/d/a"]


def test_a_plain_command_stays_as_it_is() -> None:
    assert wrap(["echo", "$x; y"], (), None) == ["echo", "$x; y"]


def test_a_wrapped_command_reads_its_stdin_and_keeps_its_arguments(tmp_path: Path) -> None:
    source = tmp_path / "it's in.txt"
    source.write_text("text")
    command = wrap(["sh", "-c", 'cat; echo "|$1"', "x", "$HOME 'q' \"d\""], [f"touch {tmp_path}/made"], str(source))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "text|$HOME 'q' \"d\"\n"
    assert (tmp_path / "made").exists()


def test_a_failed_preparation_ends_the_task() -> None:
    assert subprocess.run(wrap(["true"], ["false"], None), check=False).returncode == 1


def test_urls_are_told_from_paths() -> None:
    assert is_remote("s3://bucket/key")
    assert not is_remote("/data/http://x")
    assert url_of("file:///a%20b") == "file:///a%20b"
    assert url_of("/a b") == "file:///a%20b"


def test_urls_never_climb() -> None:
    assert url_of("/run/attachments/sub/../a.txt") == "file:///run/attachments/a.txt"
