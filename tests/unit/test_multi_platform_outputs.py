"""What outputs of several platforms can't be is said before anything is built; what an index is made of."""

from __future__ import annotations

from typing import Any

import pytest

from coopery.engines.built import BuiltImage
from coopery.engines.outputs import annotations_of, check_outputs, contents_of, is_indexed
from coopery.errors import UsageError
from coopery.export.output_spec import parse_output
from coopery.oci.descriptor import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX
from coopery.oci.manifest import Index, parse_manifest
from coopery.oci.platform import Platform
from coopery.request import Annotation, BuildRequest
from support.samples import small

BOTH = (Platform("linux", "amd64"), Platform("linux", "arm64"))
INDEX = Annotation(key="a", value="index", level="index")


def request(*outputs: str, **more: Any) -> BuildRequest:
    return BuildRequest(**{"platforms": BOTH, "outputs": tuple(map(parse_output, outputs)), **more})


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (request("type=docker,dest=x"), "hold no index"),
        (request("type=local,dest=x,platform-split=false"), "several platforms can't be in one place"),
        (request(annotations=(Annotation(key="a", value="", platform=Platform("linux", "s390x")),)), "linux/s390x"),
        (request(platforms=BOTH[:1], annotations=(INDEX,)), "no index to annotate"),
        (request("type=oci,dest=x,annotation-index.a=b", platforms=BOTH[:1]), "no index to annotate"),
        (request(build_args={"BUILDKIT_MULTI_PLATFORM": "perhaps"}, platforms=BOTH[:1]), "neither true nor false"),
    ],
)
def test_what_cannot_be(wanted: BuildRequest, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        check_outputs(wanted)
    assert caught.value.hint


def test_a_single_image_may_be_put_into_an_index() -> None:
    assert not is_indexed(BuildRequest())
    assert is_indexed(BuildRequest(build_args={"BUILDKIT_MULTI_PLATFORM": "1"}))
    check_outputs(BuildRequest(build_args={"BUILDKIT_MULTI_PLATFORM": "true"}, annotations=(INDEX,)))


def test_the_closest_annotation_counts() -> None:
    own = Annotation(key="a", value="arm64", platform=BOTH[1])
    wanted = request("type=oci,dest=x,annotation.b=output", annotations=(own, Annotation(key="a", value="all"), INDEX))
    assert annotations_of(wanted, "manifest", BOTH[0]) == {"a": "all"}
    assert annotations_of(wanted, "manifest", BOTH[1]) == {"a": "arm64"}
    assert annotations_of(wanted, "manifest", BOTH[0], wanted.outputs[0]) == {"a": "all", "b": "output"}
    assert annotations_of(wanted, "index") == {"a": "index"}


@pytest.mark.parametrize("docker", [False, True])
def test_an_index_lists_images_as_they_were_asked_for(docker: bool) -> None:
    made = small()
    entry = Annotation(key="e", value="1", level="manifest-descriptor", platform=BOTH[1])
    wanted = request(f"type=oci,dest=x,oci-mediatypes={not docker}", annotations=(INDEX, entry))
    # Both say of themselves that they are for amd64: what the index says is what was asked for.
    built = [BuiltImage(platform, made.image, None) for platform in BOTH]
    contents = contents_of(wanted, built, made.blob, wanted.outputs[0])
    index = parse_manifest(contents.top.data)
    assert isinstance(index, Index)
    assert index.media_type == contents.top.descriptor.media_type == (DOCKER_INDEX if docker else OCI_INDEX)
    assert [each.platform for each in index.manifests] == list(BOTH)
    assert [dict(each.annotations) for each in index.manifests] == [{}, {"e": "1"}]
    assert index.annotations == {"a": "index"} == contents.annotations
    assert all((each.media_type == DOCKER_MANIFEST) is docker for each in index.manifests)
    assert len(contents.blobs) == len(made.blobs) + 1  # equal blobs are there once
    assert contents.entry.platform is None
