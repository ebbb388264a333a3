"""Registries over the OCI distribution API: pull, push, and what a reference means for a platform."""

from coopery.registry.client import RegistryClient
from coopery.registry.fetch import fetch_image

__all__ = ["RegistryClient", "fetch_image"]
