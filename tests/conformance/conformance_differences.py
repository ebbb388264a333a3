"""The differences that are known, one by one, each with its reason.

Where other builders differ from one another, Coopery does what BuildKit does; where it doesn't, it says so here. A
difference that is listed and doesn't show fails the test, so that the table stays true.
"""

from __future__ import annotations

from collections.abc import Mapping

from conformance_compare import Known
from conformance_peers import BUILDAH, BUILDKIT

#: May show in any image of a peer.
EVERYWHERE: Mapping[str, tuple[Known, ...]] = {
    BUILDAH: (
        Known("config.Labels.io.buildah.version", "Buildah signs its images"),
        Known("config.Hostname", "that of the container it built in"),
        Known("/etc/host[sn]*:type", "what it mounts in a step leaves empty files behind"),
        Known("/etc/resolv.conf:type", "the same"),
        Known("/run:type", "the same"),
    ),
    BUILDKIT: (Known("config.ArgsEscaped", "means something on Windows only"),),
}

_LATE = "Buildah makes the directory of a WORKDIR when a step needs it, as root; BuildKit at once, as the user"
_VOLUME = "Buildah makes the directories of volumes"
_MOUNT_POINTS = "others leave the directories behind that they mount on; here mount points never get into a layer"
_LINKED = "linking to a file of a lower layer: BuildKit's layer has a second copy of the file instead"
_CHMOD = "Buildah applies --chmod to files alone; BuildKit to directories, too"
_CHOWN = "BuildKit applies --chown to what it unpacks; Buildah to the directories it has to make"

KNOWN: Mapping[tuple[str, str], tuple[Known, ...]] = {
    (BUILDAH, "every-instruction"): (
        Known("/data:type", _VOLUME),
        Known("/more:type", _VOLUME),
        Known("/srv:type", _LATE),
        Known("config.Env", "a variable set again goes to the end; in BuildKit it keeps its place"),
    ),
    (BUILDAH, "inherited-configuration"): (Known("/volume:type", _VOLUME),),
    (BUILDAH, "replaced-configuration"): (
        Known("/volume:type", _VOLUME),
        Known("/added:type", _VOLUME),
        Known("/home/app/sub:type", _LATE),
    ),
    (BUILDAH, "expose-forms"): (
        Known("config.ExposedPorts.*-*", "BuildKit writes ranges out"),
        Known("config.ExposedPorts.[79]00[0-2]/*", "the same"),
        Known("config.ExposedPorts.80/*", "BuildKit writes protocols in lower case"),
    ),
    (BUILDAH, "arg-and-env"): (Known("/global*:type", _LATE),),
    (BUILDAH, "args-reach-child-stages"): (
        Known("/x:content", "an ARG holds in stages that are FROM its stage, says Dockerfile's reference"),
        Known("config.Env", "the same"),
    ),
    (BUILDAH, "shell-forms"): (Known("config.Cmd", "Buildah takes the last SHELL, BuildKit the one in force"),),
    (BUILDAH, "escape-directive"): (Known("config.Env", "Buildah takes backslashes for escapes all the same"),),
    (BUILDAH, "workdirs"): (
        Known("/a/b/d:type", _LATE),
        Known("/made*:type", _LATE),
        Known("/with space*:type", _LATE),
        Known("/trailing:type", _LATE),
        Known("config.WorkingDir", "a slash at the end is dropped here"),
    ),
    (BUILDKIT, "workdirs"): (Known("config.WorkingDir", "a slash at the end is dropped here"),),
    (BUILDAH, "no-path-in-the-base"): (Known("/[deps]*:type", _MOUNT_POINTS),),
    (BUILDKIT, "no-path-in-the-base"): (Known("/[dps]*:type", _MOUNT_POINTS),),
    (BUILDAH, "no-directories-to-mount-on"): (Known("/[deps]*:type", _MOUNT_POINTS),),
    (BUILDKIT, "no-directories-to-mount-on"): (Known("/[dps]*:type", _MOUNT_POINTS),),
    (BUILDAH, "image-with-everything"): (Known("/[deps]*:type", _MOUNT_POINTS),),
    (BUILDKIT, "image-with-everything"): (Known("/[dps]*:type", _MOUNT_POINTS),),
    (BUILDAH, "mounts-of-a-run"): (
        Known("/scratch:type", _MOUNT_POINTS),
        Known("/var/cache*:type", _MOUNT_POINTS),
        Known("/home/app:type", "Buildah takes the mount's directory away, which was the image's own"),
    ),
    (BUILDKIT, "copy-chown"): (Known("/large:owner", "BuildKit takes ids above 2^31 for 0"),),
    (BUILDAH, "copy-chmod"): (
        Known("/dir:mode", _CHMOD),
        Known("/made*:mode", _CHMOD),
        Known("/wild:mode", _CHMOD),
    ),
    (BUILDAH, "copy-from-stage"): (Known("/moded:mode", _CHMOD),),
    (BUILDAH, "copy-to-the-name-of-a-link"): (
        Known("/link:type", "BuildKit follows a link at the destination, Buildah replaces it"),
        Known("/target:*", "the same"),
    ),
    (BUILDKIT, "copy-from-image"): (Known("/opt/loop:type", "BuildKit copies a block device as a character device"),),
    (BUILDAH, "context-of-every-kind"): (Known("/c/modes/7777:mode", "Buildah loses setuid and setgid of a context"),),
    (BUILDKIT, "context-of-every-kind"): (
        Known("/c/capable:xattrs", "BuildKit's transfer of contexts has no file capabilities; Buildah keeps them"),
    ),
    (BUILDAH, "add-archives"): (Known("/owned/*:owner", _CHOWN),),
    (BUILDKIT, "hard-links-across-layers"): (
        Known("/bin/*:names", _LINKED),
        Known("/d/*:names", _LINKED),
    ),
    (BUILDKIT, "names-in-a-run"): (Known("/n/*:names", _LINKED),),
    (BUILDAH, "volumes-changed-by-a-run"): (
        Known("/before/added:type", "BuildKit keeps what a step changes in a volume, Buildah drops it"),
        Known("/fresh/added:type", "the same"),
    ),
}

#: What a peer can't build, and why. Coopery builds it all the same.
REFUSED: Mapping[tuple[str, str], str] = {
    (BUILDAH, "env-unset-and-error-forms"): "1.28 knows `:-` and `:+` only",
    (BUILDAH, "here-documents"): "1.28 has no here-documents",
    (BUILDAH, "stage-names-in-any-case"): "1.28 tells stages apart by case",
    (BUILDAH, "devices"): "a step in a chroot may not make devices there",
}
