cwlVersion: v1.2
class: CommandLineTool
doc: Writes a file in capitals.
baseCommand: [sh, -c, 'tr a-z A-Z; echo', upper]
stdin: $(inputs.word.path)
stdout: upper.txt
inputs:
  word: {type: File, doc: "what is written, all of it (100 %)"}
outputs:
  upper: stdout
