"""OCI images with the standard library alone: make them, write them, read them, flatten them.

What stands around the engine (base images, the benchmark, the tests' oracle) uses this module and never the
engine's own code, so that a fault in the engine can't hide in what is meant to find it. It favours few lines over
speed. `plainregistry` pushes and pulls.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import subprocess
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_CHUNK = 1 << 20


def architecture() -> str:
    """This machine's architecture in Go's spelling, which image configurations use."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def sha256(data: bytes) -> str:
    """The digest of these bytes, `sha256:` included."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Layer:
    """A gzip-compressed layer: in memory when small, else in a file."""

    digest: str
    diff_id: str
    size: int  # compressed bytes
    data: bytes = field(default=b"", repr=False)
    path: Path | None = None

    @property
    def descriptor(self) -> dict[str, Any]:
        return {"mediaType": OCI_LAYER_GZIP, "digest": self.digest, "size": self.size}


@dataclass(frozen=True, slots=True)
class Image:
    """A configuration and layers, ready to be pushed or written."""

    config: bytes
    layers: tuple[Layer, ...]

    @property
    def manifest(self) -> bytes:
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": sha256(self.config), "size": len(self.config)},
                "layers": [layer.descriptor for layer in self.layers],
            }
        )


def canonical(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone."""
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def compress(tar: IO[bytes], directory: Path, *, level: int = 6) -> Layer:
    """Reads a tar to its end and returns it as a layer in `directory`, named by its digest. Memory stays flat."""
    plain, packed = hashlib.sha256(), hashlib.sha256()
    squeeze = zlib.compressobj(level, wbits=31)  # zlib's gzip header carries neither name nor time
    partial = directory / f".partial-{os.getpid()}"
    with partial.open("wb") as out:
        while chunk := tar.read(_CHUNK):
            plain.update(chunk)
            piece = squeeze.compress(chunk)
            packed.update(piece)
            out.write(piece)
        piece = squeeze.flush()
        packed.update(piece)
        out.write(piece)
    path = directory / packed.hexdigest()
    partial.rename(path)
    return Layer("sha256:" + packed.hexdigest(), "sha256:" + plain.hexdigest(), path.stat().st_size, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One entry of a layer to be made, or of a flattened image.

    `digest` is that of a regular file's content; `inode` tells which names of a flattened image are hard links of
    one another and takes no part in comparisons.
    """

    type: str  # file, dir, symlink, hardlink, char, block, fifo
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float = 0
    link: str = ""
    device: tuple[int, int] = (0, 0)
    data: bytes = field(default=b"", repr=False)
    digest: str = ""
    size: int = 0
    xattrs: Mapping[str, str] = field(default_factory=dict)
    inode: int = field(default=0, compare=False)


def file(data: bytes | str = b"", mode: int = 0o644, *, uid: int = 0, gid: int = 0, mtime: float = 0) -> Node:
    return Node(
        type="file",
        mode=mode,
        uid=uid,
        gid=gid,
        mtime=mtime,
        data=data.encode() if isinstance(data, str) else data,
    )


def directory(mode: int = 0o755, *, uid: int = 0, gid: int = 0, mtime: float = 0) -> Node:
    return Node(type="dir", mode=mode, uid=uid, gid=gid, mtime=mtime)


def symlink(target: str) -> Node:
    return Node(type="symlink", mode=0o777, link=target)


def hardlink(target: str) -> Node:
    return Node(type="hardlink", link=target)


_TAR_TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "symlink": tarfile.SYMTYPE,
    "hardlink": tarfile.LNKTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}
_NODE_TYPES = {value: key for key, value in _TAR_TYPES.items()} | {tarfile.AREGTYPE: "file"}


def tar_bytes(entries: Iterable[tuple[str, Node]]) -> bytes:
    """A PAX tar of these entries in this order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, node in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.uid, info.gid = _TAR_TYPES[node.type], node.mode, node.uid, node.gid
            info.mtime, info.linkname, info.size = node.mtime, node.link, len(node.data)
            info.devmajor, info.devminor = node.device
            info.pax_headers = {f"SCHILY.xattr.{key}": value for key, value in node.xattrs.items()}
            tar.addfile(info, io.BytesIO(node.data))
    return buffer.getvalue()


def layer(entries: Mapping[str, Node] | Iterable[tuple[str, Node]]) -> Layer:
    """A small layer, held in memory. Entries keep their order; whiteouts are files named `.wh.<name>`."""
    tar = tar_bytes(entries.items() if isinstance(entries, Mapping) else entries)
    data = gzip.compress(tar, 1, mtime=0)
    return Layer(sha256(data), sha256(tar), len(data), data)


def image(layers: Iterable[Layer], *, created: str = "1970-01-01T00:00:00Z", arch: str = "", **config: Any) -> Image:
    """An image of these layers; keyword arguments go to the configuration's `config` object (Env, Cmd, …)."""
    layers = tuple(layers)
    value = {
        "architecture": arch or architecture(),
        "os": "linux",
        "created": created,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in layers]},
        "history": [{"created": created, "created_by": "plainoci"} for _ in layers],
    }
    return Image(canonical(value), layers)


def write_layout(image: Image, path: Path, tag: str = "latest") -> None:
    """Writes an OCI image layout (image-spec, image-layout.md). Layer files are moved into it."""
    blobs = path / "blobs" / "sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    manifest = image.manifest
    for each in image.layers:
        target = blobs / each.digest.partition(":")[2]
        if each.path is None:
            target.write_bytes(each.data)
        elif each.path != target:
            os.replace(each.path, target)
    for data in (image.config, manifest):
        (blobs / sha256(data).partition(":")[2]).write_bytes(data)
    entry = {
        "mediaType": OCI_MANIFEST,
        "digest": sha256(manifest),
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": tag},
    }
    (path / "oci-layout").write_bytes(canonical({"imageLayoutVersion": "1.0.0"}))
    (path / "index.json").write_bytes(canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}))


def read_layout(path: Path) -> Image:
    """The first image of a layout written by `write_layout`."""
    blobs = path / "blobs" / "sha256"

    def blob(descriptor: Mapping[str, Any]) -> Path:
        return blobs / str(descriptor["digest"]).partition(":")[2]

    index = json.loads((path / "index.json").read_bytes())
    manifest = json.loads(blob(index["manifests"][0]).read_bytes())
    config = blob(manifest["config"]).read_bytes()
    diff_ids = json.loads(config)["rootfs"]["diff_ids"]
    return Image(
        config,
        tuple(
            Layer(each["digest"], diff_id, each["size"], path=blob(each))
            for each, diff_id in zip(manifest["layers"], diff_ids, strict=True)
        ),
    )


def entries(data: bytes) -> Iterator[tuple[str, Node]]:
    """The entries of one layer (plain, gzip or, with zstd(1), zstd), names without leading `./` and trailing `/`."""
    if data.startswith(b"\x28\xb5\x2f\xfd"):  # RFC 8878, section 3.1.1
        data = subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:*") as tar:
        for info in tar:
            content = tar.extractfile(info) if info.isreg() else None
            held = content.read() if content else b""
            yield (
                info.name.removeprefix("./").strip("/"),
                Node(
                    type=_NODE_TYPES[info.type],
                    mode=info.mode,
                    uid=info.uid,
                    gid=info.gid,
                    mtime=info.mtime,
                    link=info.linkname.removeprefix("./").lstrip("/") if info.islnk() else info.linkname,
                    device=(info.devmajor, info.devminor) if info.ischr() or info.isblk() else (0, 0),
                    data=held,
                    digest=sha256(held) if info.isreg() else "",
                    size=len(held),
                    xattrs={
                        key.removeprefix("SCHILY.xattr."): value
                        for key, value in info.pax_headers.items()
                        if key.startswith("SCHILY.xattr.")
                    },
                ),
            )


def flatten(layers: Iterable[bytes]) -> dict[str, Node]:
    """The tree that stacked layers show (image-spec, layer.md): path without leading `/` → node.

    Whiteouts hide what lower layers hold and never what their own layer holds. Parents that no layer lists are absent.
    Hard links become nodes of their own that share an `inode`.
    """
    tree: dict[str, Node] = {}
    serial = 0
    for data in layers:
        listed = list(entries(data))
        for name, _ in listed:
            parent, _, base = name.rpartition("/")
            if base == ".wh..wh..opq":
                _forget(tree, parent, keep=True)
            elif base.startswith(".wh."):
                _forget(tree, f"{parent}/{base[4:]}".lstrip("/"))
        for name, node in listed:
            if not name or name == "." or name.rpartition("/")[2].startswith(".wh."):
                continue
            serial += 1
            placed = tree[node.link] if node.type == "hardlink" else replace(node, inode=serial)
            if placed.type != "dir" and name in tree:
                _forget(tree, name)
            tree[name] = placed
    return tree


def _forget(tree: dict[str, Node], path: str, *, keep: bool = False) -> None:
    prefix = path + "/" if path else ""
    for name in [each for each in tree if each.startswith(prefix)]:
        del tree[name]
    if not keep:
        tree.pop(path, None)
