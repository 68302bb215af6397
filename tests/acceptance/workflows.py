"""Small CWL documents for the acceptance tests."""

from collections.abc import Mapping
from typing import Any

from tests.acceptance.stack import Parts, attachment

ECHO = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: echo
stdout: said.txt
inputs:
  word: {type: string, inputBinding: {position: 1}}
outputs:
  said: stdout
"""

NUMBERS = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [seq, '20000']
inputs: {}
outputs: {}
"""

COUNT = """\
cwlVersion: v1.2
class: CommandLineTool
baseCommand: [wc, -c]
stdin: $(inputs.file.path)
stdout: count.txt
inputs:
  file: File
outputs:
  count: stdout
"""

FAIL = """\
cwlVersion: v1.2
class: Workflow
inputs: {word: string}
outputs: []
steps:
  good:
    run: {class: CommandLineTool, baseCommand: 'true', inputs: {}, outputs: []}
    in: {}
    out: []
  align:
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'echo reading; echo "no such genome" >&2; exit 3']
      inputs: {word: string}
      outputs: []
    in: {word: word}
    out: []
"""

BRANCHES = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {seconds: 'int[]'}
outputs: []
steps:
  wait:
    run:
      class: CommandLineTool
      baseCommand: sleep
      inputs: {seconds: {type: int, inputBinding: {position: 1}}}
      outputs: []
    scatter: seconds
    in: {seconds: seconds}
    out: []
"""


def form(**fields: str) -> dict[str, str]:
    """A valid form for `main.cwl`; a field of None is left out."""
    return {"workflow_type": "CWL", "workflow_type_version": "v1.2", "workflow_url": "main.cwl", **fields}


def parts(document: str, files: Mapping[str, Any] | None = None) -> Parts:
    """The attachments: `main.cwl` and more."""
    return [attachment("main.cwl", document), *(attachment(name, text) for name, text in (files or {}).items())]
