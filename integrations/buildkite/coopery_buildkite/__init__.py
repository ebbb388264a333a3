"""The adapter for Buildkite."""

from coopery_buildkite.adapter import Buildkite

__all__ = ["Buildkite"]
