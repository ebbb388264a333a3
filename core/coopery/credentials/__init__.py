"""Who we are to registries: the credentials that docker, podman and their helpers keep."""

from coopery.credentials.providers import default_provider

__all__ = ["default_provider"]
