"""Where a job's files are."""

from __future__ import annotations

import os
from collections.abc import Mapping


def project_folder(environ: Mapping[str, str]) -> str:
    """The directory that the repository was cloned to.

    Jobs start in it. gitlab-ci-local gives jobs that have an `image:` the name that it would have in a container; so
    where the working directory isn't inside of CI_PROJECT_DIR, it is the project's itself.
    """
    here, project = os.getcwd(), environ.get("CI_PROJECT_DIR", "").rstrip("/")
    return project if project and f"{here}/".startswith(f"{os.path.realpath(project)}/") else here
