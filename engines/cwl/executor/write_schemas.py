"""`python -m wes_cwl.write_schemas`: the schema cache on standard output; run by the installer."""

import sys

from .schemas import pickled

if __name__ == "__main__":
    sys.stdout.buffer.write(pickled())
