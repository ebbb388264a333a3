"""JSON text as bytes, the same for manifests and configurations."""

from __future__ import annotations

import re

# Surrogates that surrogateescape doesn't stand for: JSON's escapes can spell them alone, UTF-8 can't.
_LONE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def encode_json(text: str) -> bytes:
    """`text` in UTF-8. Bytes that came from outside by surrogateescape go out as they were; a lone surrogate that was
    spelt as an escape becomes U+FFFD, as Go's encoding/json makes it.
    """
    return _LONE.sub("\ufffd", text).encode("utf-8", "surrogateescape")
