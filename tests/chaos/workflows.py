"""One workflow in four languages: a scatter of two, a join and a last step; its output is always the same."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from tests.acceptance.stack import Form, Parts, attachment

STEPS = 4
"""Tasks of a run."""
CALM = "calm"
"""The word of the undisturbed pass; in every other run another word of its own takes its place."""
CWL = """\
cwlVersion: v1.2
class: Workflow
requirements: {ScatterFeatureRequirement: {}}
inputs: {word: string}
outputs: {report: {type: File, outputSource: finish/out}}
steps:
  make:
    scatter: number
    in: {word: word, number: {default: [1, 2]}}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'sleep 2; echo "$0 $1"']
      stdout: made.txt
      inputs: {word: {type: string, inputBinding: {position: 1}}, number: {type: int, inputBinding: {position: 2}}}
      outputs: {out: stdout}
  join:
    in: {parts: make/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'sleep 1; cat "$0" "$1"']
      stdout: joined.txt
      inputs: {parts: {type: 'File[]', inputBinding: {}}}
      outputs: {out: stdout}
  finish:
    in: {joined: join/out}
    out: [out]
    run:
      class: CommandLineTool
      baseCommand: [sh, -c, 'sleep 1; sed "s/$/ finished/" "$0"']
      stdout: report.txt
      inputs: {joined: {type: File, inputBinding: {}}}
      outputs: {out: stdout}
"""
SNAKEFILE = """\
rule finish:
    input: "joined.txt"
    output: "report.txt"
    shell: "sleep 1; sed 's/$/ finished/' {input} > {output}"
rule join:
    input: expand("made/{n}.txt", n=[1, 2])
    output: "joined.txt"
    shell: "sleep 1; cat {input} > {output}"
rule make:
    output: "made/{n}.txt"
    shell: "sleep 2; echo {config[word]} {wildcards.n} > {output}"
"""
NEXTFLOW = """\
process MAKE {
  input: val n
  output: path "made_${n}.txt"
  script: "sleep 2; echo ${params.word} ${n} > made_${n}.txt"
}
process JOIN {
  input: path parts
  output: path 'joined.txt'
  script: "sleep 1; cat made_1.txt made_2.txt > joined.txt"
}
process FINISH {
  publishDir 'results', mode: 'copy'
  input: path joined
  output: path 'report.txt'
  script: "sleep 1; sed 's/\\$/ finished/' ${joined} > report.txt"
}
workflow { FINISH(JOIN(MAKE(Channel.of(1, 2)).collect())) }
"""
WDL = """\
version 1.0
workflow chaos {
  input { String word }
  scatter (n in [1, 2]) { call make { input: word = word, n = n } }
  call join { input: parts = make.out }
  call finish { input: joined = join.out }
  output { File report = finish.out }
}
task make {
  input { String word  Int n }
  command <<< sleep 2; echo ~{word} ~{n} > made.txt >>>
  output { File out = "made.txt" }
}
task join {
  input { Array[File] parts }
  command <<< sleep 1; cat ~{sep=" " parts} > joined.txt >>>
  output { File out = "joined.txt" }
}
task finish {
  input { File joined }
  command <<< sleep 1; sed 's/$/ finished/' ~{joined} > report.txt >>>
  output { File out = "report.txt" }
}
"""


@dataclass(frozen=True, kw_only=True)
class ChaosWorkflow:
    """The workflow in the language of one engine, which `engine` names as `wes engines install` does."""

    engine: str
    file: str
    text: str
    type: str
    version: str
    param: str = "word"

    def form(self, word: str) -> Form:
        return {
            "workflow_type": self.type,
            "workflow_type_version": self.version,
            "workflow_url": self.file,
            "workflow_params": json.dumps({self.param: word}),
        }

    def parts(self) -> Parts:
        return [attachment(self.file, self.text)]


WORKFLOWS: Mapping[str, ChaosWorkflow] = {
    workflow.engine: workflow
    for workflow in (
        ChaosWorkflow(engine="cwl", file="main.cwl", text=CWL, type="CWL", version="v1.2"),
        ChaosWorkflow(engine="snakemake", file="Snakefile", text=SNAKEFILE, type="SMK", version="9"),
        ChaosWorkflow(engine="nextflow", file="main.nf", text=NEXTFLOW, type="NFL", version="DSL2"),
        ChaosWorkflow(engine="wdl", file="main.wdl", text=WDL, type="WDL", version="1.0", param="chaos.word"),
    )
}
