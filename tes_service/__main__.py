"""`python -m tes_service`: the embedded TES, set by `TES_*` variables alone."""

import sys

from common.errors import SettingsError
from tes_service.server import serve
from tes_service.settings import read_settings

if __name__ == "__main__":
    try:
        serve(read_settings())
    except SettingsError as error:
        sys.exit(str(error))
