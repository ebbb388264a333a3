"""Finds the helpers of this folder, and those for running GitLab's pipelines, wherever pytest was started."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for place in (HERE, HERE.parent / "gitlab", HERE.parent / "jenkins"):
    if str(place) not in sys.path:
        sys.path.insert(0, str(place))
