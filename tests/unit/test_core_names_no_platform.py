"""Core is the same on every CI system: their names stand in the adapters."""

from __future__ import annotations

import re
from pathlib import Path

CORE = Path(__file__).resolve().parents[2] / "core"
_PLATFORMS = re.compile("github|gitlab|buildkite|jenkins", re.IGNORECASE)
#: A host that git and registries know by its own rules, whatever CI system runs.
_HOSTS = re.compile(r"\bgithub\.com\b")
#: The client of a cache service, which is one of the caches that any job may name.
_ALLOWED = CORE / "coopery" / "cache" / "gha.py"


def test_core_names_no_platform() -> None:
    found = []
    for path in sorted(CORE.rglob("*")):
        if not path.is_file() or path == _ALLOWED or "__pycache__" in path.parts or ".egg-info" in str(path):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if _PLATFORMS.search(_HOSTS.sub("", line)):
                found.append(f"{path.relative_to(CORE)}:{number}: {line.strip()}")
    assert not found, "\n".join(found)
