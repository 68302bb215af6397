cwlVersion: v1.2
class: CommandLineTool
baseCommand: [sh, -c, 'echo the sample is broken >&2; exit 3']
inputs: []
outputs: []
