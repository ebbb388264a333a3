"""Coopery on Jenkins: what a job's environment and the step `cooperyBuild` say, in terms of `coopery.ci`."""

from coopery_jenkins.platform import Jenkins

__all__ = ["Jenkins"]
