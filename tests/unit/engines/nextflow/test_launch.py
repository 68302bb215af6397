from pathlib import Path

from engines.nextflow.launch import argument_file, java_options


def test_arguments_with_spaces_and_quotes_stay_whole() -> None:
    assert argument_file(["-cp", '/a b/"c"\\d']) == '"-cp"\n"/a b/\\"c\\"\\\\d"\n'


def test_the_packages_that_nextflow_looks_into_are_open() -> None:
    options = java_options([Path("/a.jar"), Path("/b.jar")], Path("/n.jsa"))
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in options
    assert options[options.index("-cp") + 1] == "/a.jar:/b.jar"
