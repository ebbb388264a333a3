"""The command line. `main` is what the installed command runs."""

from coopery.cli.main import main

__all__ = ["main"]
