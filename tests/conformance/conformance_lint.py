"""Small Dockerfiles that keep and break the rules of `coopery check`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class LintCase:
    """A Dockerfile to check. `@base` in it stands for an image that defines FROM_BASE, `@untagged` for its name without
    a tag, `@foreign` for an image of another platform, `@shell` for one with a SHELL, `@trigger` for one with triggers.
    """

    dockerfile: str
    ignore: str = ""  # .dockerignore
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    #: Rules and lines that only BuildKit, or only Coopery, finds; the comment beside says why.
    theirs: tuple[tuple[str, int], ...] = ()
    ours: tuple[tuple[str, int], ...] = ()


CASES: Mapping[str, LintCase] = {
    # ---------------------------------------------------------------------------------------------- stages' names
    "stage-upper": LintCase("FROM scratch AS Build\n"),
    "stage-lower": LintCase("FROM scratch AS build\n"),
    "stage-upper-twice": LintCase("FROM scratch AS BUILD\nFROM scratch AS Test\nFROM scratch\n"),
    "stage-without-name": LintCase("FROM scratch\nFROM scratch\n"),
    "stage-duplicate": LintCase("FROM scratch AS one\nFROM scratch AS two\nFROM scratch AS one\nFROM scratch AS one\n"),
    "stage-duplicate-by-case": LintCase("FROM scratch AS one\nFROM scratch AS One\n"),
    "stage-reserved": LintCase("FROM scratch AS scratch\nFROM scratch AS context\n"),
    "stage-reserved-and-skipped": LintCase("# check=skip=ReservedStageName\nFROM scratch AS context\n"),
    "stage-platform-and-case": LintCase("FROM --platform=$BUILDPLATFORM scratch AS Build\nFROM scratch\n"),
    # ----------------------------------------------------------------------------------------------------- casing
    "as-lower": LintCase("FROM scratch as build\n"),
    "as-upper": LintCase("from scratch AS build\ncopy a /\n"),
    "as-mixed": LintCase("FROM scratch As build\n"),
    "as-from-mixed": LintCase("From scratch as build\nRUN x\n"),
    "case-lower": LintCase('from scratch\ncopy a /\ncmd ["a"]\n'),
    "case-one-lower": LintCase("FROM scratch\ncopy a /\nCOPY b /\n"),
    "case-majority-lower": LintCase("FROM scratch\ncopy a /\ncopy b /\nexpose 80\n"),
    "case-tie": LintCase("FROM scratch\ncopy a /\n"),
    "case-mixed": LintCase("FROM scratch\nCopy a /\n"),
    "case-args-do-not-count": LintCase("arg A=1\narg B=1\nFROM scratch\n"),
    "case-several-stages": LintCase("FROM scratch AS a\nrun x\nFROM scratch\nRun y\nRUN z\n"),
    "case-onbuild": LintCase("FROM scratch\nONBUILD run x\nonbuild RUN y\n"),
    # ----------------------------------------------------------------------------------------------- continuation
    "continuation-empty": LintCase("FROM scratch\nCOPY a \\\n\n  /\n"),
    "continuation-comment": LintCase("FROM scratch\nCOPY a \\\n# why\n  /\n"),
    "continuation-several": LintCase("FROM scratch\nCOPY a \\\n\n\n  b \\\n\n /\nCOPY c \\\n\n /\n"),
    "continuation-spaces": LintCase("FROM scratch\nCOPY a \\\n   \n  /\n"),
    "continuation-backtick": LintCase("# escape=`\nFROM scratch\nCOPY a `\n\n  /\n"),
    "continuation-heredoc": LintCase("FROM scratch\nCOPY \\\n\n<<EOF /f\n\ntext\nEOF\n"),
    "continuation-at-the-end": LintCase("FROM scratch\nCOPY a / \\\n\n"),
    # ------------------------------------------------------------------------------------------------ maintainer
    "maintainer": LintCase("FROM scratch\nMAINTAINER me\n"),
    "maintainer-unreached": LintCase("FROM scratch AS a\nMAINTAINER me\nFROM scratch AS b\n", target="b"),
    # ------------------------------------------------------------------------------------------------------- JSON
    "json-cmd": LintCase("FROM scratch\nCMD run me\n"),
    "json-entrypoint": LintCase("FROM scratch\nENTRYPOINT run me\n"),
    "json-list": LintCase('FROM scratch\nENTRYPOINT ["run"]\nCMD []\n'),
    "json-single-quotes": LintCase("FROM scratch\nCMD ['run']\n"),
    "json-shell": LintCase('FROM scratch\nSHELL ["/bin/bash", "-c"]\nCMD run me\n'),
    "json-shell-inherited": LintCase('FROM scratch AS a\nSHELL ["/bin/sh", "-c"]\nFROM a\nCMD run me\n'),
    "json-run-is-free": LintCase("FROM scratch\nRUN anything\nHEALTHCHECK CMD anything\n"),
    # ---------------------------------------------------------------------------------------------------- several
    "several-cmd": LintCase('FROM scratch\nCMD ["a"]\nCMD ["b"]\nCMD ["c"]\n'),
    "several-entrypoint": LintCase('FROM scratch\nENTRYPOINT ["a"]\nENTRYPOINT ["b"]\n'),
    "several-healthcheck": LintCase("FROM scratch\nHEALTHCHECK CMD a\nHEALTHCHECK NONE\n"),
    "several-in-stages": LintCase('FROM scratch AS a\nCMD ["a"]\nFROM a\nCMD ["b"]\n'),
    # ---------------------------------------------------------------------------------------------------- workdir
    "workdir-relative": LintCase("FROM scratch\nWORKDIR app\nWORKDIR src\n"),
    "workdir-absolute": LintCase("FROM scratch\nWORKDIR /app\nWORKDIR src\n"),
    "workdir-variable": LintCase("FROM scratch\nENV dir=/app\nWORKDIR $dir\n"),
    "workdir-relative-variable": LintCase("FROM scratch\nENV dir=app\nWORKDIR ${dir}\n"),
    "workdir-inherited": LintCase("FROM scratch AS a\nWORKDIR /app\nFROM a\nWORKDIR src\n"),
    "workdir-relative-in-each": LintCase("FROM scratch AS a\nWORKDIR x\nFROM scratch\nWORKDIR y\n"),
    # -------------------------------------------------------------------------------------------------- key value
    "legacy-env": LintCase("FROM scratch\nENV name value with = sign\n"),
    "legacy-label": LintCase("FROM scratch\nLABEL name value\n"),
    "legacy-not": LintCase("FROM scratch\nENV a=1 b='2 3'\nLABEL x=y z\\ z=1\n"),
    # -------------------------------------------------------------------------------------------------- variables
    "undefined-simple": LintCase("FROM scratch\nCOPY $nothing /\n"),
    "undefined-braces": LintCase("FROM scratch\nCOPY ${nothing}x /\n"),
    "undefined-default": LintCase("FROM scratch\nCOPY ${nothing:-x} /\n"),
    "undefined-alternative": LintCase("FROM scratch\nENV x=${nothing:+y}\n"),
    "undefined-pattern": LintCase("FROM scratch\nENV x=${nothing#y} y=${nada/a/b}\n"),
    "undefined-run": LintCase('FROM scratch\nRUN echo $nothing\nCMD ["$nothing"]\n'),
    "undefined-mount": LintCase("FROM @base\nRUN --mount=type=cache,target=/$nothing true\n"),
    "undefined-several": LintCase("FROM scratch\nCOPY $one $two /$one\n"),
    "undefined-env-of-itself": LintCase("FROM scratch\nENV a=1 b=$a\n"),
    "undefined-path": LintCase("FROM scratch\nENV PATH=/x:$PATH\n"),
    "undefined-arg-without-value": LintCase("FROM scratch\nARG later\nCOPY $later /x\nENV y=$later\n"),
    "undefined-arg-default": LintCase("FROM scratch\nARG a=$nothing\nARG b=$a c=$b d=$e\n"),
    "undefined-arg-given": LintCase("FROM scratch\nARG a=$nothing\n", args={"a": "1"}),
    "undefined-global-arg": LintCase("ARG top=1\nFROM scratch\nCOPY $top /\n"),
    "undefined-global-arg-declared": LintCase("ARG top=1\nFROM scratch\nARG top\nCOPY $top /\n"),
    "undefined-platform-arg": LintCase("FROM scratch\nCOPY $TARGETARCH /\nARG TARGETOS\nCOPY $TARGETOS /\n"),
    "undefined-inherited": LintCase("FROM scratch AS a\nENV e=1\nARG r=1\nARG s\nFROM a\nCOPY $e $r $s $t /\n"),
    "undefined-near": LintCase("FROM scratch\nENV foobar=1\nCOPY $foobaz /\n"),
    "undefined-user-volume": LintCase("FROM scratch\nUSER $who\nVOLUME /$what\nSTOPSIGNAL ${sig:-TERM}\n"),
    "undefined-label": LintCase("FROM scratch\nLABEL a=\"$x\" b='$y' c=\\$z\n"),
    "undefined-expose": LintCase("FROM scratch\nEXPOSE 80 $ports\n"),
    "undefined-heredoc": LintCase('FROM scratch\nCOPY <<EOF /f\n$nothing "${more}"\nEOF\n'),
    "undefined-heredoc-quoted": LintCase("FROM scratch\nCOPY <<'EOF' /f\n$nothing\nEOF\n"),
    "undefined-chown": LintCase(
        "FROM scratch\nCOPY --chown=$who:${group} a /\nADD --checksum=$sum http://x.example/y /\n"
    ),
    "undefined-special": LintCase("FROM scratch\nCOPY $1 /x$@\n"),
    "undefined-from-base": LintCase("FROM @base\nCOPY x $FROM_BASE/$FROM_BAS\n"),
    "undefined-unreached": LintCase("FROM scratch AS a\nCOPY $x /\nFROM scratch AS b\nCOPY $y /\n", target="b"),
    "undefined-all-stages": LintCase("FROM scratch AS a\nCOPY $x /\nFROM scratch AS b\nCOPY $y /\n"),
    # ------------------------------------------------------------------------------------------------------- FROM
    "from-undeclared": LintCase("FROM scratch${tag}\n"),
    "from-undeclared-platform": LintCase("FROM --platform=${plat:-linux/amd64} scratch AS amd64\n"),
    "from-declared-without-value": LintCase("ARG empty\nFROM ${empty:-scratch}\n"),
    "from-near": LintCase("ARG version=1\nFROM @base${versoin}\n"),
    "from-platform-args": LintCase("FROM --platform=$BUILDPLATFORM @base AS b\n"),
    "from-default-empty": LintCase("ARG image\nFROM $image\n", args={"image": "scratch"}),
    "from-default-invalid": LintCase("ARG image=UPPER/Case\nFROM ${image}\n", args={"image": "scratch"}),
    "from-default-suffix": LintCase("ARG tag\nFROM @base$tag\n"),
    "from-default-colon": LintCase("ARG tag\nFROM @untagged:${tag}\n", args={"tag": "latest"}),
    "from-redundant-platform": LintCase("FROM --platform=$TARGETPLATFORM scratch\n"),
    "from-redundant-platform-braces": LintCase("FROM --platform=${TARGETPLATFORM} scratch\n"),
    "from-constant-platform": LintCase("FROM --platform=linux/amd64 scratch\n"),
    "from-constant-platform-named": LintCase(
        "FROM --platform=linux/amd64 scratch AS base-amd64\nFROM --platform=linux/amd64 scratch AS linux\n"
    ),
    "from-other-platform": LintCase("FROM @foreign AS a\nFROM @base\nCOPY --from=@foreign /a /\n"),
    "from-build-platform": LintCase("FROM --platform=$BUILDPLATFORM scratch\n"),
    # ---------------------------------------------------------------------------------------------------- secrets
    "secret-arg": LintCase("FROM scratch\nARG API_TOKEN\nARG token=1 PASSWORD=2\n"),
    "secret-env": LintCase("FROM scratch\nENV AWS_SECRET_ACCESS_KEY=x git_auth=y\n"),
    "secret-not": LintCase("FROM scratch\nENV TOKENIZER=1 PUBLIC_KEY=2 SECRET_FILE=3 KEY_VERSION=4 monkey=5\n"),
    "secret-global-arg": LintCase("ARG PASSWORD\nFROM scratch\n"),
    "secret-expanded": LintCase("FROM scratch\nENV kind=TOKEN\nENV MY_$kind=1\n"),
    # ------------------------------------------------------------------------------------------------------ ignore
    "ignored-file": LintCase("FROM scratch\nCOPY a b/c /\nADD d.txt /\n", ignore="a\nb\n*.txt\n"),
    "ignored-not": LintCase("FROM scratch\nCOPY z /\nCOPY . /\n", ignore="a\n"),
    "ignored-exception": LintCase("FROM scratch\nCOPY a /\n", ignore="a\n!a/b\n"),
    "ignored-everything": LintCase("FROM scratch\nCOPY . /\nCOPY / /\n", ignore="*\n"),
    "ignored-everything-deep": LintCase("FROM scratch\nCOPY ./ /\n", ignore="**\n"),
    "ignored-from-stage": LintCase("FROM scratch AS a\nFROM scratch\nCOPY --from=a /a /\n", ignore="a\n"),
    "ignored-url": LintCase("FROM scratch\nADD http://example.com/a /\n", ignore="*\n"),
    "ignored-heredoc": LintCase("FROM scratch\nCOPY <<a /\nx\na\n", ignore="a\n"),
    "ignored-slashes": LintCase("FROM scratch\nCOPY ./a /x\nCOPY /a /x\nCOPY b/../a /x\n", ignore="a\n"),
    "ignored-variable": LintCase("FROM scratch\nENV n=a\nCOPY $n /x\n", ignore="a\n"),
    "ignored-wildcard": LintCase("FROM scratch\nCOPY a* /x/\n", ignore="a*\n"),
    # ------------------------------------------------------------------------------------------------------ expose
    "expose-case": LintCase("FROM scratch\nEXPOSE 80/TCP 53/udp 54/Udp\n"),
    "expose-mapping": LintCase("FROM scratch\nEXPOSE 80:8080 127.0.0.1:80:8080 [::1]:80:81/TCP\n"),
    "expose-plain": LintCase("FROM scratch\nEXPOSE 80 443/tcp 8000-8010\n"),
    "expose-variable": LintCase('FROM scratch\nENV ports="80/TCP 1:2"\nEXPOSE $ports\n'),
    # ------------------------------------------------------------------------------------------------ descriptions
    "description-off": LintCase("# other\nARG name=1\nFROM scratch\n"),
    "description-arg": LintCase(
        "# check=experimental=all\n# other text\nARG name=1\n# more\nARG a=1 b=2\nFROM scratch\n"
    ),
    "description-good": LintCase(
        "# check=experimental=InvalidDefinitionDescription\n# name is it\nARG name=1\n"
        "# build makes it\nFROM scratch AS build\n"
    ),
    "description-apart": LintCase(
        "# check=experimental=all\n# other text\n#\nARG name=1\n# text\n\nFROM scratch AS x\n# text\nARG in=1\n"
    ),
    "description-several-lines": LintCase(
        "# check=experimental=all\nFROM scratch\n# name is it\n# and this\nARG name\n# this\n# name is it\nARG name\n"
    ),
    # -------------------------------------------------------------------------------------------------- directives
    "skip-all": LintCase("# check=skip=all\nfrom scratch As X\nMAINTAINER me\nCOPY $x /\n"),
    "skip-two": LintCase(
        "# check=skip=MaintainerDeprecated,UndefinedVar\nFROM scratch AS X\nMAINTAINER me\nCOPY $x /\n"
    ),
    "skip-not-experimental": LintCase("# check=skip=all;experimental=all\n# x\nARG a\nFROM scratch AS X\n"),
    "skip-error-false": LintCase("# check=skip=UndefinedVar;error=false\nFROM scratch AS X\nCOPY $x /\n"),
    "skip-after-syntax": LintCase("# escape=`\n# check=skip=StageNameCasing\nFROM scratch AS X\nMAINTAINER me\n"),
    "skip-too-late": LintCase("# a comment\n# check=skip=StageNameCasing\n\nARG x\nFROM scratch AS X\n"),
    "skip-by-arg": LintCase(
        "# check=skip=StageNameCasing\nFROM scratch AS X\nMAINTAINER me\n",
        args={"BUILDKIT_DOCKERFILE_CHECK": "skip=MaintainerDeprecated"},
    ),
    "error-true": LintCase("# check=error=true\nFROM scratch AS X\n"),
    # ---------------------------------------------------------------------------------------------------- comments
    "comment-skip": LintCase("FROM scratch\n# check=skip=UndefinedVar\nCOPY $x /\nCOPY $y /\n"),
    "comment-skip-all": LintCase("FROM scratch\n# why\n# check=skip=all\nENV TOKEN $x\nENV TOKEN $y\n"),
    "comment-skip-from": LintCase("ARG x\n# check=skip=StageNameCasing,FromAsCasing\nFROM scratch as X\n"),
    "comment-skip-maintainer": LintCase("FROM scratch\n# check=skip=MaintainerDeprecated\nMAINTAINER me\n"),
    "comment-experimental": LintCase("ARG x\nFROM scratch\n# text\n# check=experimental=all\nARG name\n"),
    "comment-with-reason": LintCase("FROM scratch\n# check=skip=UndefinedVar because it is fine\nCOPY $x /\n"),
    "comment-not-understood": LintCase("FROM scratch\n# check=nonsense\nCOPY $x /\n"),
    "comment-above-blank": LintCase("FROM scratch\n# check=skip=UndefinedVar\n\nCOPY $x /\n"),
    # BuildKit honours comments only for rules that it applies to single instructions. Here they count for all.
    "comment-skip-casing": LintCase(
        "FROM scratch\n# check=skip=ConsistentInstructionCasing\ncopy a /\nRUN x\n",
        theirs=(("ConsistentInstructionCasing", 3),),
    ),
    "comment-skip-names": LintCase(
        "ARG x\nFROM scratch AS a\n# check=skip=DuplicateStageName\nFROM scratch AS a\n",
        theirs=(("DuplicateStageName", 4),),
    ),
    # White space in a list ends it for BuildKit.
    "skip-spaces": LintCase(
        "# check=skip=MaintainerDeprecated, StageNameCasing\nFROM scratch AS X\nMAINTAINER me\n",
        theirs=(("StageNameCasing", 2),),
    ),
    # ---------------------------------------------------------------------------------------------------- triggers
    "onbuild-in-file": LintCase("FROM scratch\nONBUILD COPY $x /\n"),
    "onbuild-inherited": LintCase("FROM scratch AS a\nONBUILD COPY $x /\nONBUILD ENV k v\nFROM a\nCOPY $z /\n"),
    "onbuild-of-an-image": LintCase("FROM @trigger\n"),
    "json-shell-of-an-image": LintCase("FROM @shell\nCMD run me\n"),
    # ------------------------------------------------------------------------------------------------- whole files
    "good": LintCase(
        "ARG version=1\nFROM @base AS build\nARG version\nWORKDIR /src\nCOPY --chmod=0755 . .\n"
        + "RUN echo $version > out\nFROM scratch\nCOPY --from=build /src/out /\nEXPOSE 80/tcp\n"
        + 'ENTRYPOINT ["/out"]\nCMD ["--help"]\n'
    ),
    "bad": LintCase(
        "from scratch as One\nMAINTAINER me\nENV token secret\nWORKDIR app\nCOPY $x \\\n\n .\nEXPOSE 1:80/TCP\n"
        "CMD a\nCMD b\n"
        "FROM scratch AS one\nCMD c\n",
        ignore="*\n",
    ),
}
