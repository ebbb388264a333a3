"""Values that look like secrets, where only the names of secrets belong. Pure."""

from __future__ import annotations

import re

#: What to call them, and how they are recognised: the prefixes that their makers gave them to be found by.
_SHAPES: tuple[tuple[str, str], ...] = (
    ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    ("an access token", r"gh[pousr]_[A-Za-z0-9]{30,}"),
    ("an access token", r"git[a-z]{3}_pat_[A-Za-z0-9_]{22,}"),
    ("an access token", r"gl(?:pat|dt|rt|cbt|ptt|ft|agent|oas|soat)-[A-Za-z0-9_.-]{20,}"),
    ("a Docker Hub token", r"dckr_[op]at_[A-Za-z0-9_-]{20,}"),
    ("an AWS access key", r"(?:AKIA|ASIA)[A-Z2-7]{16}"),
    ("a Google API key", r"AIza[A-Za-z0-9_-]{35}"),
    ("a Google access token", r"ya29\.[A-Za-z0-9_-]{20,}"),
    ("an API token", r"bk[a-z]{2}_[0-9a-f]{40}"),
    ("a Slack token", r"xox[abeprs]-[A-Za-z0-9-]{10,}"),
    ("an npm token", r"npm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"pypi-AgE[A-Za-z0-9_-]{40,}"),
    ("a Stripe key", r"[rs]k_live_[A-Za-z0-9]{16,}"),
    ("a JSON Web Token", r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"),
    ("a password in a URL", r"[a-z][a-z0-9+.-]*://[^\s/:@]*:[^\s/:@]+@"),
)
_PATTERN = re.compile("|".join(f"(?<![A-Za-z0-9])({shape})" for _, shape in _SHAPES))


def secret_in(text: str) -> str:
    """What kind of secret `text` seems to hold, such as "an access token"; empty for none."""
    match = _PATTERN.search(text)
    return _SHAPES[(match.lastindex or 1) - 1][0] if match else ""


def without_secrets(text: str) -> str:
    """`text` with what seems to be secret masked; lines stay lines."""
    return _PATTERN.sub("***", text)
