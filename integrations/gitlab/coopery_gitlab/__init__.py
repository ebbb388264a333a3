"""Coopery on GitLab CI: what a job's variables say, in terms of `coopery.ci`."""

from coopery_gitlab.platform import GitLab

__all__ = ["GitLab"]
