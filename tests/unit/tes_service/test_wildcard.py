from pathlib import Path

import pytest

from tes_service.layout import Layout
from tes_service.output_paths import expression, matches


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("*.txt", "a.txt", True),
        ("*.txt", "a.txt2", False),
        ("?", "ä", True),
        ("[ab]*", "bcd", True),
        ("[!ab]*", "bcd", False),
        ("[!ab]*", "^cd", True),
        ("[a-c]", "b", True),
        ("[]x]", "]", True),
        ("[^a]", "^", True),
        ("a[", "a[", True),
        ("\\*", "*", True),
        ("\\*", "x", False),
        ("a.b", "axb", False),
        ("a\nb*", "a\nbc", True),
        ("[\\w]", "w", True),
        ("[&&]", "&", True),
    ],
)
def test_patterns_are_those_of_the_shell(pattern: str, name: str, fits: bool) -> None:
    assert (expression(pattern).fullmatch(name) is not None) is fits


def test_matches_are_found_in_the_tree(tmp_path: Path) -> None:
    for name in ("out/a/1.txt", "out/a/.2.txt", "out/b/3.txt", "out/4.txt", "out/b/5.csv"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "out/b/link.txt").symlink_to("/etc/passwd")
    layout = Layout(root=tmp_path, writable=("/out",))

    def found(pattern: str) -> list[str]:
        return [path for path, _ in matches(layout, pattern)]

    assert found("/out/*/*.txt") == ["/out/a/1.txt", "/out/b/3.txt"]
    assert found("/out/?.txt") == ["/out/4.txt"]
    assert found("/out/a/.*") == ["/out/a/.2.txt"]
    assert found("/out/*/5.csv") == ["/out/b/5.csv"]
    assert found("/none/*") == []
