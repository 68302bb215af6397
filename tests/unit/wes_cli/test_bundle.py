import json
from pathlib import Path

import pytest

from common.errors import InvalidField
from common.json_types import Json
from wes_cli.attachment_names import attachment_names
from wes_cli.bundle import Bundle, BundleRequest, build_bundle
from wes_cli.errors import InvalidArgument, MissingFile


def write(folder: Path, files: dict[str, object]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))


def tool(**inputs: Json) -> dict[str, Json]:
    return {"cwlVersion": "v1.2", "class": "CommandLineTool", "inputs": inputs, "outputs": {}, "baseCommand": "true"}


def bundle(folder: Path, params: Json = None, **wanted: object) -> Bundle:
    if params is not None:
        write(folder, {"params.json": params})
        wanted["params"] = folder / "params.json"
    workflow = wanted.pop("workflow", folder / "wf.cwl")
    return build_bundle(BundleRequest(workflow=str(workflow), **wanted))  # type: ignore[arg-type]


def test_a_workflow_brings_its_tools_scripts_and_defaults(tmp_path: Path) -> None:
    step: Json = {"run": "../tools/a.cwl", "in": {}, "out": []}
    write(
        tmp_path,
        {
            "flows/wf.cwl": {
                "cwlVersion": "v1.1",
                "class": "Workflow",
                "inputs": {},
                "outputs": {},
                "steps": {"a": step},
            },
            "tools/a.cwl": tool(script={"type": "File", "default": {"class": "File", "location": "../lib/a.py"}}),
            "lib/a.py": "print()",
            "lib/unused.py": "",
        },
    )
    (tmp_path / ".git").mkdir()
    found = bundle(tmp_path, workflow=tmp_path / "flows/wf.cwl")
    assert found.workflow_url == "flows/wf.cwl"
    assert dict(found.attachments) == {name: tmp_path / name for name in ("flows/wf.cwl", "tools/a.cwl", "lib/a.py")}
    assert (found.language, found.version) == ("CWL", "v1.1")


def test_params_name_the_uploaded_files(tmp_path: Path) -> None:
    write(tmp_path, {"work/wf.cwl": tool(), "work/in/a b.txt": "a", "elsewhere/c.txt": "c"})
    params: Json = {
        "near": {"class": "File", "location": "work/in/a%20b.txt"},
        "far": [{"class": "File", "path": str(tmp_path / "elsewhere/c.txt")}],
        "n": 1e-5,
    }
    found = bundle(tmp_path, params, workflow=tmp_path / "work/wf.cwl")
    assert found.params == {
        "near": {"class": "File", "location": "in/a b.txt"},
        "far": [{"class": "File", "location": "inputs/c.txt"}],
        "n": 1e-5,
    }
    assert set(found.attachments) == {"wf.cwl", "in/a b.txt", "inputs/c.txt"}


def test_a_directory_is_uploaded_file_by_file(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(), "db/x/1": "", "db/2": ""})
    found = bundle(tmp_path, {"db": {"class": "Directory", "path": "db"}})
    assert set(found.attachments) == {"wf.cwl", "db/x/1", "db/2"}
    assert found.params == {"db": {"class": "Directory", "location": "db"}}


def test_a_directory_elsewhere_is_found_again_by_its_files(tmp_path: Path) -> None:
    write(tmp_path, {"flow/wf.cwl": tool(), "data/db/x/1": "", "data/db/2": "", "data/r.fq": ""})
    params: Json = {"db": {"class": "Directory", "path": "data/db"}, "r": {"class": "File", "path": "data/r.fq"}}
    found = bundle(tmp_path, params, workflow=tmp_path / "flow/wf.cwl")
    assert found.params["db"] == {"class": "Directory", "location": "inputs/db"}
    assert {"inputs/db/x/1", "inputs/db/2", "inputs/r.fq"} <= set(found.attachments)


def test_a_directory_elsewhere_keeps_its_name_which_is_its_basename(tmp_path: Path) -> None:
    write(tmp_path, {"work/wf.cwl": tool(), "genome/a": "", "genome/sub/b": ""})
    found = bundle(
        tmp_path, {"d": {"class": "Directory", "path": str(tmp_path / "genome")}}, workflow=tmp_path / "work/wf.cwl"
    )
    assert found.params == {"d": {"class": "Directory", "location": "inputs/genome"}}
    assert set(found.attachments) == {"wf.cwl", "inputs/genome/a", "inputs/genome/sub/b"}


def test_an_empty_folder_is_told_of(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool()})
    (tmp_path / "empty").mkdir()
    found = bundle(tmp_path, {"d": {"class": "Directory", "path": "empty"}})
    assert found.warnings == (f"{tmp_path / 'empty'} holds no file, and an empty folder can't be uploaded",)


def test_files_that_an_input_wants_beside_it_are_uploaded_too(tmp_path: Path) -> None:
    document = tool(ref={"type": "File", "secondaryFiles": [".fai", "^.dict", ".missing"]})
    write(tmp_path, {"flow/wf.cwl": document, "g/ref.fa": "", "g/ref.fa.fai": "", "g/ref.dict": ""})
    found = bundle(tmp_path, {"ref": {"class": "File", "path": "g/ref.fa"}}, workflow=tmp_path / "flow/wf.cwl")
    assert set(found.attachments) == {"wf.cwl", "inputs/ref.fa", "inputs/ref.fa.fai", "inputs/ref.dict"}
    assert found.params["ref"] == {
        "class": "File",
        "location": "inputs/ref.fa",
        "secondaryFiles": [
            {"class": "File", "location": "inputs/ref.fa.fai"},
            {"class": "File", "location": "inputs/ref.dict"},
        ],
    }


def test_secondary_files_that_the_params_name_are_not_searched_for(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(r={"type": "File", "secondaryFiles": ".i"}), "r": "", "r.i": ""})
    params: Json = {"r": {"class": "File", "path": "r", "secondaryFiles": []}}
    assert set(bundle(tmp_path, params).attachments) == {"wf.cwl", "r"}


RECORD: Json = {
    "type": "record",
    "name": "Pair",
    "fields": {
        "one": {"type": "File", "secondaryFiles": ".s2"},
        "more": {"type": {"type": "array", "items": "File"}, "secondaryFiles": ".s3"},
        "plain": "string",
    },
}


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        (RECORD, None),
        ({"type": "array", "items": RECORD}, None),
        (["null", RECORD], None),
        ("Pair", [RECORD]),
        ("Pair[]?", [RECORD]),
        ("types.yml#Pair", [{"$import": "types.yml"}]),
    ],
)
def test_files_that_the_fields_of_a_record_want_beside_them_are_uploaded_too(
    tmp_path: Path, kind: Json, types: Json
) -> None:
    document = tool(r={"type": kind}) | {"requirements": {"SchemaDefRequirement": {"types": types or []}}}
    write(tmp_path, {"wf.cwl": document, "types.yml": [RECORD], **dict.fromkeys(("a", "a.s2", "b", "b.s3", "c"), "")})
    record: Json = {"one": {"class": "File", "path": "a"}, "more": [{"class": "File", "path": n} for n in ("b", "c")]}
    found = bundle(tmp_path, {"r": [record] if "array" in str(kind) or "[]" in str(kind) else record})
    assert {"a.s2", "b.s3"} <= set(found.attachments)
    assert '"secondaryFiles": [{"class": "File", "location": "a.s2"}]' in json.dumps(found.params)


def test_a_missing_param_file_is_named_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool()})
    with pytest.raises(MissingFile, match=r"gone\.fq does not exist; .*params\.json at 'reads\.1' refers to it"):
        bundle(tmp_path, {"reads": [{"class": "File", "path": "wf.cwl"}, {"class": "File", "path": "gone.fq"}]})


def test_all_inputs_that_are_missing_are_named_and_what_was_meant(tmp_path: Path) -> None:
    inputs: dict[str, Json] = {
        "reads": "File",
        "min_quality": {"type": "int"},
        "names": {"type": {"type": "array", "items": "string"}},
        "maybe": "string?",
        "either": ["null", "int"],
        "given": {"type": "int", "default": 3},
    }
    write(tmp_path, {"wf.cwl": tool(**inputs)})
    with pytest.raises(
        InvalidArgument, match=r"needs reads \(File\), min_quality \(int\), names \(string\[\]\), .*--params"
    ):
        bundle(tmp_path)
    with pytest.raises(
        InvalidArgument, match=r"needs min_quality .*params\.json; .*'minQuality', which .*'min_quality'\?"
    ):
        bundle(tmp_path, {"reads": {"class": "File", "path": "wf.cwl"}, "names": [], "minQuality": 3})


def test_a_param_that_is_no_input_is_a_warning_with_what_was_meant(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(minq="int?")})
    found = bundle(tmp_path, {"minQ": 3, "cwl:tool": "x", "$namespaces": {}, "cwlVersion": "v1.2"})
    assert [warning.partition("gives ")[2] for warning in found.warnings] == [
        "'minQ', which is no input of the workflow (did you mean 'minq'?)"
    ]


def test_names_that_were_nearly_right_are_answered_with_the_right_ones(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(x="File"), "reads.fq": ""})
    with pytest.raises(MissingFile, match=r"reed\.fq does not exist; .*\(did you mean reads\.fq\?\)"):
        bundle(tmp_path, {"x": {"class": "File", "path": "reed.fq"}})
    with pytest.raises(MissingFile, match=r"did you mean wf\.cwl\?"):
        bundle(tmp_path, workflow=tmp_path / "wff.cwl")
    with pytest.raises(MissingFile, match=r"params\.yml does not exist; --params .*\(did you mean params\.json\?\)"):
        build_bundle(BundleRequest(workflow=str(tmp_path / "wf.cwl"), params=tmp_path / "params.yml"))


def test_a_missing_tool_is_named_with_its_place(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": {"class": "Workflow", "steps": {"a": {"run": "gone.cwl", "in": {}, "out": []}}}})
    with pytest.raises(MissingFile, match=r"gone\.cwl does not exist; .*wf\.cwl at 'steps\.a\.run' refers to it"):
        bundle(tmp_path)


def test_a_missing_default_is_no_error_as_it_may_not_be_used(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(x={"type": "File", "default": {"class": "File", "location": "gone"}}), "y": ""})
    assert "does not exist" in bundle(tmp_path).warnings[0]
    assert bundle(tmp_path, {"x": {"class": "File", "path": "y"}}).warnings == ()


def test_a_folder_where_a_file_is_named_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(), "db/1": ""})
    with pytest.raises(InvalidArgument, match=r"db is not a file, as .* says at 'x'"):
        bundle(tmp_path, {"x": {"class": "File", "path": "db"}})


def test_a_workflow_with_an_absolute_path_is_refused_with_advice(tmp_path: Path) -> None:
    default: Json = {"class": "File", "location": str(tmp_path / "x")}
    write(tmp_path, {"wf.cwl": tool(x={"type": "File", "default": default}), "x": ""})
    with pytest.raises(InvalidArgument, match=r"absolute path at 'inputs.x.default'.*--in-place"):
        bundle(tmp_path)
    assert set(bundle(tmp_path, in_place=[tmp_path]).attachments) == {"wf.cwl"}


def test_files_in_place_are_sent_as_urls(tmp_path: Path) -> None:
    write(tmp_path, {"flow/wf.cwl": tool(), "big/a b.fq": ""})
    found = bundle(
        tmp_path,
        {"r": {"class": "File", "path": "big/a b.fq"}},
        workflow=tmp_path / "flow/wf.cwl",
        in_place=[tmp_path / "big"],
    )
    assert found.params == {"r": {"class": "File", "location": f"file://{tmp_path}/big/a%20b.fq"}}
    assert set(found.attachments) == {"wf.cwl"}


def test_a_packed_document_keeps_its_fragment(tmp_path: Path) -> None:
    graph: Json = {"cwlVersion": "v1.2", "$graph": [{"id": "main", "class": "Workflow", "inputs": []}]}
    write(tmp_path, {"packed.cwl": graph})
    assert bundle(tmp_path, workflow=f"{tmp_path}/packed.cwl#main").workflow_url == "packed.cwl#main"


def test_a_hash_in_a_file_name_is_no_fragment(tmp_path: Path) -> None:
    write(tmp_path, {"a#b.cwl": tool()})
    assert bundle(tmp_path, workflow=tmp_path / "a#b.cwl").workflow_url == "a#b.cwl"


@pytest.mark.parametrize(
    ("url", "language"),
    [
        ("https://example.org/wf.cwl?x=1#main", "CWL"),
        ("git+https://example.org/r@v1#workflow/Snakefile", "SMK"),
        ("https://github.com/o/r/blob/v1/main.nf", "NFL"),
        ("https://example.org/wf", None),
    ],
)
def test_a_url_tells_its_language_by_the_name_of_its_document(tmp_path: Path, url: str, language: str | None) -> None:
    found = bundle(tmp_path, workflow=url)
    assert (found.workflow_url, found.language, found.attachments) == (url, language, {})


def test_a_remote_workflow_uploads_only_the_params_files(tmp_path: Path) -> None:
    write(tmp_path, {"a.fq": ""})
    found = bundle(tmp_path, {"r": {"class": "File", "path": "a.fq"}}, workflow="https://example.org/wf.cwl")
    assert found.workflow_url == "https://example.org/wf.cwl"
    assert set(found.attachments) == {"a.fq"}


def test_attached_files_keep_their_place_beside_the_workflow(tmp_path: Path) -> None:
    write(tmp_path, {"flow/wf.cwl": tool(), "flow/conf/a.ini": "", "other/b.ini": ""})
    found = bundle(
        tmp_path, workflow=tmp_path / "flow/wf.cwl", attach=[tmp_path / "flow/conf", tmp_path / "other/b.ini"]
    )
    assert set(found.attachments) == {"wf.cwl", "conf/a.ini", "b.ini"}


def test_an_attached_file_that_would_hide_another_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"flow/wf.cwl": tool(), "other/wf.cwl": ""})
    with pytest.raises(InvalidArgument, match=r"another file is called 'wf\.cwl'"):
        bundle(tmp_path, workflow=tmp_path / "flow/wf.cwl", attach=[tmp_path / "other/wf.cwl"])


def test_a_name_that_no_server_may_take_is_refused_before_the_upload(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(), "a\\b.txt": ""})
    with pytest.raises(InvalidField, match="not a relative POSIX path"):
        bundle(tmp_path, {"x": {"class": "File", "path": "a\\b.txt"}})


def test_a_cwl_document_by_another_name_is_known_by_its_content(tmp_path: Path) -> None:
    write(tmp_path, {"wf.json": tool()})
    assert bundle(tmp_path, workflow=tmp_path / "wf.json").language == "CWL"


def test_an_unknown_language_asks_for_the_type(tmp_path: Path) -> None:
    write(tmp_path, {"wf.txt": ""})
    with pytest.raises(InvalidArgument, match="say it with --type"):
        bundle(tmp_path, workflow=tmp_path / "wf.txt")


def test_a_missing_workflow_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match=r"gone\.cwl does not exist; the command line refers to it"):
        bundle(tmp_path, workflow=tmp_path / "gone.cwl")


def test_a_list_is_no_params_document(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool()})
    with pytest.raises(InvalidArgument, match="must hold an object"):
        bundle(tmp_path, [1])


def test_a_snakefile_brings_what_it_names_and_string_params_are_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "Snakefile": "include: 'rules/a.smk'\nrule all:\n  input: 'results/x.txt'\n",
            "rules/a.smk": "rule a:\n  script: '../scripts/a.py'\n",
            "scripts/a.py": "",
            "reads/a.fq": "",
        },
    )
    found = bundle(tmp_path, {"reads": ["reads/a.fq"], "name": "a"}, workflow=tmp_path / "Snakefile")
    assert set(found.attachments) == {"Snakefile", "rules/a.smk", "scripts/a.py", "reads/a.fq"}
    assert found.params == {"reads": ["reads/a.fq"], "name": "a"}


def test_a_nextflow_script_brings_modules_and_what_lies_beside_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"main.nf": "include { A } from './modules/a'", "modules/a.nf": "", "nextflow.config": "", "bin/x.sh": ""},
    )
    found = bundle(tmp_path, workflow=tmp_path)
    assert found.workflow_url == "main.nf"
    assert set(found.attachments) == {"main.nf", "modules/a.nf", "nextflow.config", "bin/x.sh"}


def test_files_that_a_nextflow_script_names_from_its_own_folder_and_those_of_its_config_come_too(
    tmp_path: Path,
) -> None:
    write(
        tmp_path,
        {
            "main.nf": 'x = file("$projectDir/assets/a.txt"); y = file("${baseDir}/b.txt")',
            "assets/a.txt": "",
            "b.txt": "",
            "nextflow.config": "includeConfig 'conf/base.config'",
            "conf/base.config": "",
        },
    )
    found = bundle(tmp_path, workflow=tmp_path / "main.nf")
    assert set(found.attachments) == {"main.nf", "assets/a.txt", "b.txt", "nextflow.config", "conf/base.config"}


def test_a_wdl_document_says_its_version(tmp_path: Path) -> None:
    write(tmp_path, {"wf.wdl": '# a comment\nversion 1.1\nimport "lib/t.wdl" as t\n', "lib/t.wdl": "task x {}"})
    found = bundle(tmp_path, workflow=tmp_path / "wf.wdl")
    assert (found.version, set(found.attachments)) == ("1.1", {"wf.wdl", "lib/t.wdl"})
    assert bundle(tmp_path, workflow=tmp_path / "lib/t.wdl").version == "draft-2"


def test_a_symlink_keeps_its_name(tmp_path: Path) -> None:
    write(tmp_path, {"wf.cwl": tool(), "store/7f3a": "reads"})
    (tmp_path / "reads.fq").symlink_to("store/7f3a")
    found = bundle(tmp_path, {"r": {"class": "File", "path": "reads.fq"}})
    assert found.params == {"r": {"class": "File", "location": "reads.fq"}}


HOME = Path("/home/ada")


def test_a_tool_in_a_folder_above_moves_the_root_up() -> None:
    names = attachment_names([HOME / "flows/main.cwl", HOME / "tools/a.cwl"], [])
    assert names == {HOME / "flows/main.cwl": "flows/main.cwl", HOME / "tools/a.cwl": "tools/a.cwl"}


def test_data_beside_the_workflow_keeps_its_place() -> None:
    names = attachment_names([HOME / "wf.cwl"], [HOME / "reads/a.fq"])
    assert names[HOME / "reads/a.fq"] == "reads/a.fq"


def test_data_elsewhere_does_not_move_the_root() -> None:
    names = attachment_names([HOME / "wf.cwl"], [Path("/data/x/a.fq"), Path("/data/y/b.fq")])
    assert names == {
        HOME / "wf.cwl": "wf.cwl",
        Path("/data/x/a.fq"): "inputs/x/a.fq",
        Path("/data/y/b.fq"): "inputs/y/b.fq",
    }


def test_the_folder_for_data_avoids_a_folder_of_the_workflow() -> None:
    names = attachment_names([HOME / "wf.cwl", HOME / "inputs/code.js"], [Path("/data/a.fq")])
    assert names[Path("/data/a.fq")] == "inputs-2/a.fq"


def test_data_without_a_local_workflow_is_named_from_its_own_folder() -> None:
    assert attachment_names([], [HOME / "a/x", HOME / "b/y"]) == {HOME / "a/x": "a/x", HOME / "b/y": "b/y"}
