from engines.nextflow.plugin.build import DIGEST_NAME, EXTENSIONS, JAR, SOURCES, manifest_of, sources_digest


def test_the_jar_was_made_from_the_sources_that_lie_beside_it() -> None:
    advice = "run: python -m engines.nextflow.plugin.build JARS_FOLDER"
    assert manifest_of(JAR)[DIGEST_NAME] == sources_digest(), advice


def test_what_nextflow_is_told_to_load_is_there() -> None:
    for name in EXTENSIONS:
        assert (SOURCES / f"{name.replace('.', '/')}.java").is_file()
