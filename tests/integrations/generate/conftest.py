"""Makes this folder's helpers importable, and those of the platforms' own tests."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("generate", "github", "gitlab", "buildkite", "jenkins"):
    place = str(Path(__file__).parents[1] / folder)
    if place not in sys.path:
        sys.path.insert(0, place)
