"""The report as the files that the job's `artifacts:` take (docs.gitlab.com, "CI/CD artifacts reports types")."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping

from coopery.ci.rendering.codequality import code_quality
from coopery.ci.rendering.dotenv import dotenv
from coopery.ci.rendering.jsonform import encode
from coopery.ci.rendering.markdown import markdown
from coopery.ci.report import ImageResult, Report
from coopery.errors import UsageError
from coopery_gitlab import log
from coopery_gitlab.places import project_folder

#: The directory in the project's; the names below it are those that the template lists.
FOLDER = "coopery-report"

#: What GitLab takes of a dotenv report by default: a larger one fails the job.
LARGEST_DOTENV = 5 * 1024 - 1  # bytes
MOST_VARIABLES = 20

_IMAGE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9]+")
_LONGEST_LABEL = 255


def publish(report: Report, environ: Mapping[str, str]) -> None:
    """Write the files. A directory that can't be written is told of, and is no failure of the build."""
    folder = os.path.join(project_folder(environ), FOLDER)
    try:
        os.makedirs(folder, exist_ok=True)
        for name, text in files(report, environ).items():
            with open(os.path.join(folder, name), "w", encoding="utf-8", errors="replace") as file:
                file.write(text)
    except OSError as error:
        log.notice(f"the report isn't kept: {error}")


def files(report: Report, environ: Mapping[str, str]) -> dict[str, str]:
    """The files' texts by name."""
    return {
        "report.md": markdown(report),
        "report.json": encode(report),
        "codequality.json": json.dumps(code_quality(report), indent=2) + "\n",
        "annotations.json": json.dumps(links(report, environ), indent=2) + "\n",
        "build.env": variables(report),
    }


def variables(report: Report) -> str:
    """A dotenv file for later jobs: of a single image, or of the first, under plain names; of several also under names
    with the target's at the end, as far as GitLab's limits go.
    """
    found: dict[str, str] = {}
    for number, image in enumerate(report.images):
        new = _described(image, "") if number == 0 else {}
        if len(report.images) > 1:
            new |= _described(image, "_" + _NOT_IN_NAMES.sub("_", image.target.upper()))
        for name, value in new.items():
            if name not in found and _fits(found | {name: value}):
                found[name] = value
    return dotenv(found)


def _described(image: ImageResult, end: str) -> dict[str, str]:
    """What there is to say of an image, the most useful first."""
    first = image.names[0] if image.names else ""
    repository = _repository(first)
    return {
        f"COOPERY_IMAGE{end}": first,
        f"COOPERY_DIGEST{end}": image.digest,
        f"COOPERY_IMAGE_REF{end}": f"{repository}@{image.digest}" if repository and image.digest else "",
        f"COOPERY_PUSHED{end}": "true" if image.pushed else "false",
        f"COOPERY_VERSION{end}": image.version,
        f"COOPERY_IMAGE_ID{end}": image.image_id,
        f"COOPERY_TAGS{end}": ",".join(image.names),
    }


def _fits(found: Mapping[str, str]) -> bool:
    try:
        return len(found) <= MOST_VARIABLES and len(dotenv(found)) <= LARGEST_DOTENV
    except UsageError:  # a value that such files can't have
        return False


def _repository(name: str) -> str:
    return name[: name.rfind(":")] if ":" in name.rpartition("/")[2] else name


def links(report: Report, environ: Mapping[str, str]) -> dict[str, object]:
    """Links on the job's page, to where the pushed images can be looked at."""
    found: dict[str, str] = {}
    for image in report.images:
        for name in image.names if image.pushed else ():
            url = _web_page(name, environ)
            if url:
                found.setdefault(url, name)
    shown = [{"external_link": {"label": label[:_LONGEST_LABEL], "url": url}} for url, label in found.items()]
    return {"Container images": shown} if shown else {}


def _web_page(name: str, environ: Mapping[str, str]) -> str:
    """Where people can look at the image `name`; empty if its registry has no pages, or none that are known."""
    host, _, path = _repository(name).partition("/")
    if not _IMAGE_NAME.fullmatch(name) or not path:
        return ""
    if host == environ.get("CI_REGISTRY"):
        # The page of an image has a number in its address that jobs aren't told: this one lists all of them.
        project, own = environ.get("CI_PROJECT_URL", ""), environ.get("CI_REGISTRY_IMAGE", "")
        is_own = f"{host}/{path}/".startswith(f"{own}/")
        return f"{project}/container_registry" if project and own and is_own else ""
    if host == "docker.io":
        return f"https://hub.docker.com/r/{path}"
    if host in ("ghcr.io", "quay.io", "gcr.io") or host.endswith((".pkg.dev", ".gcr.io")):
        return f"https://{host}/{path}"
    return ""
