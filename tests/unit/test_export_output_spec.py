"""`--output`: what buildx's grammar means, and clear words for the rest."""

from __future__ import annotations

import pytest

from coopery.errors import UsageError
from coopery.export.output_spec import csv_fields, parse_bool, parse_output
from coopery.oci.platform import Platform
from coopery.request import Annotation, Output


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out", Output(type="local", dest="out")),
        ("./a=b", Output(type="local", dest="./a=b")),
        ("name", Output(type="local", dest="name")),
        ("-", Output(type="tar", dest="-")),
        ("type=local,dest=out", Output(type="local", dest="out")),
        ("type=tar", Output(type="tar", dest="-")),
        ("type=local,dest=x,platform-split=false", Output(type="local", dest="x", platform_split=False)),
        ("type=tar,dest=x.tar", Output(type="tar", dest="x.tar")),
        ("type=oci,dest=x,tar=false", Output(type="oci", dest="x", tar=False)),
        ("type=oci", Output(type="oci", dest="-")),
        ("type=docker", Output(type="docker", oci_media_types=False)),
        ("type=docker,dest=-,oci-mediatypes=1", Output(type="docker", dest="-")),
        ("type=image,name=a/b:c,push=true", Output(type="image", names=("a/b:c",), push=True)),
        ('type=image,"name=a:1,b:2"', Output(type="image", names=("a:1", "b:2"))),
        ("type=registry", Output(type="image", push=True)),
        ("type=registry,oci-mediatypes=false", Output(type="image", push=True, oci_media_types=False)),
        (
            "type=image,compression=zstd,compression-level=19",
            Output(type="image", compression="zstd", compression_level=19),
        ),
        ("TYPE=image, PUSH=T", Output(type="image", push=True)),
        ("type=image,store=false,unpack=0", Output(type="image")),
    ],
)
def test_outputs(text: str, expected: Output) -> None:
    assert parse_output(text) == expected


def test_annotations_are_for_manifests_or_for_the_index() -> None:
    text = (
        'type=oci,annotation.org.example.Key=a=b,"annotation-manifest.other=x,""y""",annotation-index.all=c,'
        "annotation-manifest-descriptor[linux/arm64/v8].d=e"
    )
    arm64 = Platform("linux", "arm64")
    assert parse_output(text).annotations == (
        Annotation(key="org.example.Key", value="a=b"),
        Annotation(key="other", value='x,"y"'),
        Annotation(key="all", value="c", level="index"),
        Annotation(key="d", value="e", level="manifest-descriptor", platform=arm64),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("type=", "no type"),
        ("dest=x", "no type"),
        ("type=imgae", "did you mean image"),
        ("type=cacheonly", "nothing but the cache"),
        ("type=local", "a directory can't be written to nowhere"),
        ("type=local,dest=-", "standard output"),
        ("type=oci,tar=false", "nowhere"),
        ("type=docker,dest=x,tar=false", "always a tar"),
        ("type=oci,dest", "'dest' is not of the form"),
        ("type=image,pusj=true", "did you mean push"),
        ("type=image,push=yes", "neither true nor false"),
        ("type=image,dest=x", "no meaning for type=image"),
        ("type=tar,name=x", "no meaning for type=tar"),
        ("type=local,dest=x,annotation.a=b", "annotations have no meaning"),
        ("type=image,annotation-index-descriptor.a=b", "there is no index-descriptor to annotate"),
        ("type=image,annotation-index[linux/arm64].a=b", "for no single platform"),
        ("type=image,annotation[x/y/z/w].a=b", "is not a platform"),
        ("type=image,annotation-.a=b", "annotation-index.KEY"),
        ("type=image,platform-split=true", "no meaning for type=image"),
        ("type=image,annotation.=b", "without a key"),
        ("type=image,force-compression=true", "force-compression is not supported"),
        ("type=image,rewrite-timestamp", "not of the form"),
        ("type=image,push-by-digest=", "not supported"),
        ("type=image,compression=gzp", "did you mean gzip"),
        ("type=image,compression=estargz", "gzip, zstd and uncompressed"),
        ("type=image,compression-level=high", "not a number"),
        ("type=image,name=UPPER", "not an image reference"),
        ('type=oci,"dest=x', "not closed"),
        ('type=oci,"dest=x"y', "after a closing quote"),
        ('type=oci,dest="x"', "inside a field"),
    ],
)
def test_what_cannot_be_honoured_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_output(text)
    assert words in f"{caught.value.message} {caught.value.hint}"


def test_csv_fields() -> None:
    assert csv_fields("a,b") == ["a", "b"]
    assert csv_fields('"a,b","c""d",') == ["a,b", 'c"d', ""]
    assert csv_fields('""') == [""]
    assert csv_fields("") == [""]


def test_booleans_are_gos() -> None:
    assert [parse_bool(text, "x") for text in ("1", "t", "TRUE", "0", "F", "False")] == [True] * 3 + [False] * 3
    with pytest.raises(UsageError):
        parse_bool("tRUE", "x")
