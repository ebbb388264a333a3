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
        Known("history.*", "Buildah tells it in words of its own"),
    ),
    BUILDKIT: (Known("config.ArgsEscaped", "means something on Windows only"),),
}

_LATE = "Buildah makes the directory of a WORKDIR when a step needs it, as root; BuildKit at once, as the user"
_VOLUME = "Buildah makes the directories of volumes"
_MOUNT_POINTS = "others leave the directories behind that they mount on; here mount points never get into a layer"
_LINKED = "linking to a file of a lower layer: BuildKit's layer has a second copy of the file instead"
_CHMOD = "Buildah applies --chmod to files alone; BuildKit to directories, too"
_CHOWN = "BuildKit applies --chown to what it unpacks; Buildah to the directories it has to make"
_NO_FLAG = "1.28 has no such flag"

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
    (BUILDKIT, "workdirs"): (
        Known("config.WorkingDir", "a slash at the end is dropped here"),
        Known("history.*", "the same"),
    ),
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
    (BUILDAH, "what-a-run-is-told"): (
        Known("/env:content", "Buildah passes proxies on as they are written, BuildKit in capitals and small letters"),
        Known("/tmp/env:content", "the same"),
        Known("/host*:content", "a host name of its own"),
    ),
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
    (BUILDKIT, "copy-several-without-a-slash"): (
        Known("/several*:type", "in BuildKit each source replaces the one before; Buildah makes a directory, too"),
    ),
    (BUILDAH, "copy-chown-in-parts"): (
        Known("/na*:owner", "an empty group is root's in BuildKit; in Buildah it is the user's"),
        Known("/nu*:owner", "the same"),
    ),
    (BUILDKIT, "copy-link-with-chmod"): (
        Known("/made:mode", "BuildKit doesn't link with --chmod; directories of a linked layer are 0755 in any case"),
    ),
    (BUILDKIT, "copy-exclude-what-is-named"): (
        Known("/x/*.txt:type", "BuildKit excludes in directories only (its issue 5489), not what its reference says"),
    ),
    (BUILDKIT, "hard-links-across-layers"): (
        Known("/bin/*:names", _LINKED),
        Known("/d/*:names", _LINKED),
    ),
    (BUILDKIT, "names-in-a-run"): (Known("/n/*:names", _LINKED),),
    (BUILDAH, "volumes-changed-by-a-run"): (
        Known("/before/added:type", "BuildKit keeps what a step changes in a volume, Buildah drops it"),
        Known("/fresh/added:type", "the same"),
    ),
    (BUILDAH, "a-name-that-is-a-dangling-link"): (
        Known(
            "/not/there*:type", "BuildKit makes the file that the link names, Buildah a directory with the file in it"
        ),
    ),
    (BUILDAH, "workdirs-of-users-without-a-passwd"): (
        Known("/before*:type", _LATE),
        Known("/by/*:type", _LATE),
        Known("/by:owner", _LATE),
    ),
    (BUILDAH, "ignored-but-for"): (Known("/all/*:type", "Buildah leaves out what is below an ignored directory"),),
}

#: What a peer can't build, and why. Coopery builds it all the same.
REFUSED: Mapping[tuple[str, str], str] = {
    (BUILDAH, "env-unset-and-error-forms"): "1.28 knows `:-` and `:+` only",
    (BUILDAH, "here-documents"): "1.28 has no here-documents",
    (BUILDAH, "here-documents-of-every-kind"): "1.28 has no here-documents",
    (BUILDAH, "run-without-network"): "1.28 has no RUN --network",
    (BUILDAH, "cache-mounts"): "its caches are the machine's, and told apart by their ids alone",
    (BUILDAH, "optional-secrets-and-agents"): "1.28 has no secrets as variables",
    (BUILDAH, "bind-mounts-of-the-context"): "1.28 takes absolute targets only",
    (BUILDAH, "bind-mounts-of-stages-and-images"): "what a step writes to a mount changes the stage it is from",
    (BUILDAH, "mount-points-that-are-links"): "it makes no mount points below links",
    (BUILDAH, "mounts-hide-what-the-image-has"): "it takes the file away that was mounted on",
    (BUILDAH, "stage-names-in-any-case"): "1.28 tells stages apart by case",
    (BUILDAH, "copy-link"): _NO_FLAG,
    (BUILDAH, "copy-link-from"): _NO_FLAG,
    (BUILDAH, "copy-link-with-chmod"): _NO_FLAG,
    (BUILDAH, "copy-exclude"): _NO_FLAG,
    (BUILDAH, "copy-exclude-what-is-named"): _NO_FLAG,
    (BUILDAH, "copy-exclude-from-a-stage"): _NO_FLAG,
    (BUILDAH, "copy-parents"): _NO_FLAG,
    (BUILDAH, "copy-parents-from-a-stage"): _NO_FLAG,
    (BUILDAH, "copy-chmod-with-letters"): "1.28 takes octal modes only",
    (BUILDAH, "add-unpack"): _NO_FLAG,
    (BUILDAH, "devices"): "a step in a chroot may not make devices there",
    (BUILDAH, "sources-with-signs"): "1.28 takes patterns in a list for names",
    (BUILDAH, "triggers-of-a-stage"): "1.28 finds no stages from triggers",
    (BUILDAH, "signs-in-variables"): "1.28 knows `:-` and `:+` only",
}
