"""The adapter for GitHub Actions."""

from coopery_github.platform import GitHub

__all__ = ["GitHub"]
