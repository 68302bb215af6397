"""The example in the language of Nextflow."""

import yaml

from tests.acceptance.nextflow.running import Nextflow
from tests.unit.examples.test_read_report import EXAMPLE, OUTPUTS, SAMPLES

FOLDERS = ("scripts", "reads")


def test_its_outputs_are_those_of_the_cwl_example_byte_for_byte(nextflow: Nextflow) -> None:
    paths = [EXAMPLE / "read-report.nf", *(path for name in FOLDERS for path in sorted((EXAMPLE / name).iterdir()))]
    parts = [
        ("workflow_attachment", (path.relative_to(EXAMPLE).as_posix(), path.read_bytes(), "application/octet-stream"))
        for path in paths
        if path.is_file()
    ]
    form = {
        "workflow_type": "NFL",
        "workflow_type_version": "DSL2",
        "workflow_url": "read-report.nf",
        "workflow_params": str(yaml.safe_load((EXAMPLE / "params.yml").read_text())).replace("'", '"'),
    }
    ended = nextflow.ended(nextflow.wes.submit(form, parts))
    assert ended.state == "COMPLETE", ended.system
    assert {name: output["sha256"] for name, output in ended.outputs.items()} == OUTPUTS
    assert len(ended.tasks) == 3 * len(SAMPLES) + 1
    assert {f"count_reads ({name})" for name in SAMPLES} <= set(ended.names())
