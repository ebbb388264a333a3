"""Words and what they expand to, line by line. BuildKit's `frontend/dockerfile/shell` says the same of each."""

from __future__ import annotations

import pytest

from coopery.dockerfile.expand import expand, expand_words
from coopery.errors import DockerfileError

VARIABLES = {
    "USER": "ann",
    "EMPTY": "",
    "FILE": "/srv/data/report.tar.gz",
    "LIST": "red green  blue",
    "EDGES": "  in the middle ",
    "STARS": "a*b?c",
    "SIGN": "$USER",
    "한글": "말",
}

#: `word => text`; `!` stands for an error. Blanks around the arrow and at the ends don't count.
TEXTS = r"""
plain                         => plain
mid'dle'                      => middle
"mid"'d'le                    => middle
it's                          => !
it\'s                         => it's
it\\'s                        => !
"it's"                        => it's
'"'                           => "
""                            =>
''""                          =>
a\                            => a
a\\                           => a\
\a\b                          => ab
"\a\b"                        => \a\b
"\\ \" \$"                    => \ " $
'\\ \" \$'                    => \\ \" \$
"open                         => !
'open                         => !
"open\"                       => !
'closed\'                     => closed\
$                             => $
a$                            => a$
$.                            => $.
a$,b                          => a$,b
"$"                           => $
$$                            =>
$USER                         => ann
x$USER                        => xann
$USER.x                       => ann.x
$USERx                        =>
$USER-x                       => ann-x
$USER$USER                    => annann
$USER\$USER                   => ann$USER
\\$USER                       => \ann
'$USER'                       => $USER
"$USER"                       => ann
"'$USER'"                     => 'ann'
'"$USER"'                     => "$USER"
$EMPTY.                       => .
$NONE.                        => .
$SIGN                         => $USER
$1                            =>
$12x                          => x
$1x2                          => x2
$@$*$#$?$-$!                  =>
$한글                         => 말
${한글}글                     => 말글
${USER}                       => ann
${USER}x                      => annx
${NONE}x                      => x
"${USER}"                     => ann
'${USER}'                     => ${USER}
\${USER}                      => ${USER}
\${}                          => ${}
${}                           => !
${ USER}                      => !
${USER                        => !
${                            => !
a${                           => !
${:}                          => !
${USER:}                      => !
${USER:x}                     => !
${USER~x}                     => !
${USER:-other}                => ann
${NONE:-other}                => other
${EMPTY:-other}               => other
${EMPTY-other}                =>
${NONE-other}                 => other
${NONE:-}                     =>
${NONE:-a b}                  => a b
${NONE:-"a  b"}               => a  b
${NONE:-'$USER'}              => $USER
${NONE:-$USER}                => ann
${NONE:-x${USER}y}            => xanny
${NONE:-${NADA:-deep}}        => deep
${NONE:-${NADA:-${USER}}}     => ann
${NONE:-${NADA}}              =>
${NONE:-\}}                   => }
${NONE:-\$USER}               => $USER
${NONE:-"}"}                  => }
${NONE:-}}                    => }
${NONE:-other                 => !
${NONE:-${USER}               => !
${USER:+set}                  => set
${EMPTY:+set}                 =>
${EMPTY+set}                  => set
${NONE+set}                   =>
${USER:+${FILE}}              => /srv/data/report.tar.gz
${USER:?needed}               => ann
${EMPTY?needed}               =>
${EMPTY:?needed}              => !
${NONE?needed}                => !
${NONE:?}                     => !
"${NONE:-a"b"c}"              => abc
${FILE#/}                     => srv/data/report.tar.gz
${FILE#*/}                    => srv/data/report.tar.gz
${FILE##*/}                   => report.tar.gz
${FILE%/*}                    => /srv/data
${FILE%%/*}                   =>
${FILE%.*}                    => /srv/data/report.tar
${FILE%%.*}                   => /srv/data/report
${FILE#srv}                   => /srv/data/report.tar.gz
${FILE%gz}                    => /srv/data/report.tar.
${FILE#???}                   => v/data/report.tar.gz
${FILE%???}                   => /srv/data/report.tar
${FILE##*a}                   => r.gz
${FILE#}                      => /srv/data/report.tar.gz
${FILE%$NONE}                 => /srv/data/report.tar.gz
${FILE%${NONE:-.gz}}          => /srv/data/report.tar
${STARS#a\*}                  => b?c
${STARS%\?c}                  => a*b
${STARS#'a*'}                 => *b?c
${STARS#a'\*'}                => a*b?c
${STARS%"?c"}                 => a*b
${STARS#\a}                   => !
${NONE#x}                     =>
${NONE%%*}                    =>
${FILE/a/A}                   => /srv/dAta/report.tar.gz
${FILE//a/A}                  => /srv/dAtA/report.tAr.gz
${FILE/a*a/_}                 => /srv/d_r.gz
${FILE//t?/__}                => /srv/da__/repor____r.gz
${FILE//\//_}                 => _srv_data_report.tar.gz
${FILE/\/srv/}                => /data/report.tar.gz
${FILE//nothing/x}            => /srv/data/report.tar.gz
${FILE/$NONE/x}               => x/srv/data/report.tar.gz
${USER//n/$USER}              => aannann
${USER//?/.}                  => ...
${USER/*/all}                 => all
${STARS//\*/+}                => a+b?c
${NONE//a/b}                  =>
${FILE/a}                     => !
${FILE/a/b                    => !
"${FILE##*/}"                 => report.tar.gz
"""

#: `word => words`, with `|` between them.
WORDS = r"""
plain                         => plain
two words                     => two|words
"two words"                   => two words
two\ words                    => two words
'two words' more              => two words|more
$LIST                         => red|green|blue
"$LIST"                       => red green  blue
x$LIST.x                      => xred|green|blue.x
"x$LIST".x                    => xred green  blue.x
$EDGES                        => in|the|middle
a${EDGES}b                    => a|in|the|middle|b
a"$EDGES"b                    => a  in the middle b
$EMPTY                        =>
a $EMPTY b                    => a|b
a$EMPTY b                     => a|b
""                            =>
a "" b                        => a|b
${NONE:-a b}                  => a|b
"${NONE:-a b}"                => a b
${NONE:-"a b"} c              => a|b|c
${LIST// /-}                  => red-green--blue
$STARS *                      => a*b?c|*
"a\b"                         => a\b
"a                            => !
<<EOF x                       => <<EOF|x
<<  EOF x                     => <<  EOF|x
"""


def cases(table: str) -> list[tuple[str, str]]:
    lines = [line.split("=>") for line in table.splitlines() if line]
    return [(word.strip(), result.strip()) for word, result in lines]


@pytest.mark.parametrize(("word", "text"), cases(TEXTS))
def test_a_word_expands_to(word: str, text: str) -> None:
    if text == "!":
        with pytest.raises(DockerfileError):
            expand(word, VARIABLES)
    else:
        assert expand(word, VARIABLES).text == text


@pytest.mark.parametrize(("word", "words"), cases(WORDS))
def test_a_word_becomes_words(word: str, words: str) -> None:
    if words == "!":
        with pytest.raises(DockerfileError):
            expand_words(word, VARIABLES)
    else:
        assert expand_words(word, VARIABLES) == [part for part in words.split("|") if part]
