"""Coopery builds container images in any CI job, without a daemon and without privileges."""

__version__ = "0.1.0"
