"""What a Dockerfile means and offers, as BuildKit understands it: configurations with their history, and outlines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conformance_case import Case
from conformance_compare import Facts, differences, facts, unexplained
from conformance_differences import EVERYWHERE
from conformance_peers import BUILDKIT, BuildKit, Peer

import plainregistry
from plainregistry import Registry
from support.command import Coopery

WORDS = r"""
$V ${V}x$Vx ${N-d} ${E-d} ${N:-d} ${E:-d} ${N+d} ${E+d} ${E:+d} ${V:+d} ${V?m} ${E?m} ${N:-${V:+$V}} ${V:-'ab'}
${V#a} ${V#*c} ${V##*c} ${V%c} ${V%b*} ${V%%b*} ${V#?b} ${V#[a]} ${V/b/X} ${V//b/X} ${V//b/} ${V/b*/X} ${N/b/X}
${V/'b'/$V} \$V '$V' "\$V" a\_b 'a"b' "a'b" $ $1
"""
#: Every case has a file to copy: images without any layer are another matter.
KEEP = "COPY keep /\n"
DOCKERFILES = {
    "operators": "FROM scratch\nENV V=abcabc E=\nENV "
    + " \\\n ".join(f"X{number}={word}" for number, word in enumerate(WORDS.split()))
    + "\n",
    "directives": "# check=skip=all\n#  Escape = `\nFROM scratch\nENV A=C:\\x `\n# comment\n\n  B=`$A C='`'\n",
    "lines": "\ufeff#x\r\nfrom scratch\r\neNv A=1 \\\r\n#c\r\n\r\n  B=2\r\n  LABEL   a=b\tc=d \r\n",
    "scopes": """\
ARG A=1 B=$A-2
ARG BASE=scratch
FROM ${BASE} AS one
LABEL none=x$A
ARG A B
LABEL globals=$A,$B
ARG A=own C=$A
LABEL own=$A,$C
ENV A=env
LABEL env=$A
ARG A=late
LABEL late=$A
FROM one
LABEL child=$A,$B,$C
ENV A=1
ENV A=2 D=$A
ARG TARGETSTAGE TARGETOS TARGETPLATFORM BUILDARCH
LABEL p=$TARGETSTAGE,$TARGETOS,$TARGETPLATFORM,$BUILDARCH
""",
    "configuration": r"""
FROM scratch
EXPOSE 80 80/TCP 53/udp 7-9 ${P:-8080}/sctp
VOLUME ["/a b", "/c"]
VOLUME /d ${V:-/v}
STOPSIGNAL ${S:-SIGUSR1}
HEALTHCHECK --interval=90m --timeout=1500ms --start-period=2h --start-interval=7ms --retries=3 CMD ["a b", "c"]
SHELL ["x y", "-c"]
CMD some "q" \\ é
ENTRYPOINT ["a\tb", "\u00e9\u0001", "\\"]
MAINTAINER Me  <a@b>
USER ${U:-a}:b
LABEL a='x y' "b c"=d e="f\"g" h=
ONBUILD RUN --mount=from=x,target=/y z
ONBUILD COPY <<E /x
body
E
""",
    "copies": """\
FROM scratch
ARG M=640
COPY -- --x /y/
COPY --chmod=$M --chown=1:2 keep /${M}/
ADD ["keep", "/sp ace/"]
COPY <<A <<"B" /in/
$M
A
$M
B
""",
}
CASES = [
    Case(f"language-{name}", text + KEEP, {"keep": "", "--x": ""}, {"C": "given"} if name == "scopes" else {})
    for name, text in DOCKERFILES.items()
]
OUTLINED = {
    "described": (
        "# VERSION is what is packed\nARG VERSION=1.2\n# nobody's\nARG UNUSED=3\nARG BASE=scratch\n# base begins\n"
        "FROM ${BASE} AS base\nARG VERSION\n# LOCAL is here\nARG LOCAL=$VERSION-x\nCOPY Dockerfile /a-$LOCAL\n"
        "# build makes it\nFROM base AS build\n# X is x\n# Y is y\nARG X=1\nARG Y TARGETARCH\nARG HTTP_PROXY\n"
        "ARG ID=foo\nRUN --mount=type=secret,id=$ID --mount=type=ssh echo $X\n"
        "RUN --mount=type=secret,id=tok,required --mount=type=ssh,id=git,required=true x\n"
        "FROM scratch AS last\nCOPY --from=build / /\n"
    ),
    "bare": "FROM scratch\nCOPY Dockerfile /\n",
    "comments": "# base is it\n# of all\nFROM scratch AS base\n\n# A is a\n#\nARG A=1\n# other\nARG B\nFROM base\n",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_configuration_and_history(
    case: Case, peer: Callable[[str], Peer], ours: Callable[[Case], tuple[Path, Facts]], registry: Registry
) -> None:
    builder = peer(BUILDKIT)
    context, mine = ours(case)
    reference = f"{registry.host}/language/{case.name}:1"
    builder.build(context, context / "Dockerfile", reference, case.args, case.target)
    faults = unexplained(differences(mine, facts(plainregistry.pull(reference))), (), EVERYWHERE[BUILDKIT])
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("method", ["outline", "targets"])
@pytest.mark.parametrize("name", OUTLINED)
def test_the_same_answers(
    name: str, method: str, peer: Callable[[str], Peer], coopery: Coopery, tmp_path: Path
) -> None:
    builder = peer(BUILDKIT)
    assert isinstance(builder, BuildKit)
    (tmp_path / "Dockerfile").write_text(OUTLINED[name])
    mine = coopery("build", "--call", method, tmp_path).stdout.splitlines()
    theirs = builder.call(method, tmp_path)
    assert [line.split() for line in mine if line] == [line.split() for line in theirs if line]
