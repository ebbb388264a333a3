"""Makes this folder's helpers importable, and their fixtures known."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from jenkins_builders import builder, guarded
from jenkins_pipelines import agent

__all__ = ["agent", "builder", "guarded"]
