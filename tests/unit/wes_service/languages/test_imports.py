from wes_service.languages.imports import Import, imports_of


def names(language: str, text: str, *, is_main: bool = False) -> list[str]:
    return [name for each in imports_of(language, text, is_main=is_main) for name in each.names]


def test_a_snakefile_names_its_files_by_directives_and_not_by_rules() -> None:
    text = """
configfile: "config/config.yaml"
include: "rules/a.smk"
include: 'b.smk'
# include: "gone.smk"
include: f"rules/{name}.smk"
include: "https://example.org/x.smk"
module other:
    snakefile: "modules/other/Snakefile"
rule all:
    input: "out/a.txt"
rule a:
    output: "out/a.txt"
    conda: "envs/a.yaml"
    script: "scripts/a.py"
rule b:
    conda: "base"
    params: x=workflow.source_path("data/x.txt")
"""
    assert names("SMK", text) == [
        "config/config.yaml",
        "rules/a.smk",
        "b.smk",
        "modules/other/Snakefile",
        "envs/a.yaml",
        "scripts/a.py",
        "base",
        "data/x.txt",
    ]
    by_name = {each.names[0]: each for each in imports_of("SMK", text, is_main=True)}
    assert by_name["rules/a.smk"] == Import(names=("rules/a.smk",), follow=True)
    assert by_name["config/config.yaml"] == Import(names=("config/config.yaml",), optional=True, from_main=True)
    assert by_name["base"].optional
    assert not by_name["envs/a.yaml"].optional


def test_a_nextflow_script_names_its_modules_and_its_config_lies_beside_it() -> None:
    text = """
include { A } from './modules/a'
include { B; C as D } from "../b.nf"
include { E } from "${projectDir}/modules/e.nf"
include { validate } from 'plugin/nf-schema'
// include { F } from './f'
process P { script: template 'p.sh' }
process Q {
    script:
    template 'q.sh'
}
"""
    found = imports_of("NFL", text, is_main=True)
    assert [each.names for each in found] == [
        ("./modules/a.nf", "./modules/a/main.nf"),
        ("../b.nf",),
        ("modules/e.nf",),
        ("templates/q.sh",),
        ("nextflow.config",),
    ]
    assert [each.from_main for each in found] == [False, False, True, False, False]
    assert names("NFL", "includeConfig 'conf/base.config'") == ["conf/base.config"]


def test_a_wdl_document_names_its_imports() -> None:
    text = 'version 1.0\nimport "lib/a.wdl" as a\nimport \'b.wdl\'\n#import "c.wdl"\nimport "https://h/d.wdl"\n'
    assert names("WDL", text) == ["lib/a.wdl", "b.wdl"]


def test_other_languages_name_nothing() -> None:
    assert imports_of("XYZ", 'include: "a"', is_main=True) == []
