"""Tags that a registry doesn't let anybody move, told by the registries' own words. Pure."""

from __future__ import annotations

import re

from coopery.errors import RegistryError

# There is no error code for it (OCI distribution specification, "Error Codes"), so each has its own: Amazon ECR
# TAG_INVALID or ImageTagAlreadyExistsException, "... cannot be overwritten because the tag is immutable"; Harbor
# PRECONDITION, "... configured as immutable"; Docker Hub and Quay speak of immutable tags, Google of "tag
# immutability", Nexus of a repository that "does not allow updating assets".
_WORDS = re.compile(r"immutab|cannot be overwritten|TagAlreadyExists|does not allow updating", re.IGNORECASE)


def tag_is_immutable(error: RegistryError) -> bool:
    """Whether a registry refused a manifest because its tag is there already and stays what it is."""
    return _WORDS.search(error.detail) is not None
