"""What all programs of this project share while it knows none of them: errors, JSON, locations, settings."""

from importlib.metadata import version

__version__ = version("wes-tes")
