"""File systems whose locks cannot be relied on, told by what is mounted where."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from elspeth_dagster.landscape.errors import UnsafeFileSystemError

ALLOWED_BY = "ELSPETH_SQLITE_ON_NETWORK"
"""The environment variable that lets somebody who knows better use such a file system: `allow`."""

TABLE = Path("/proc/self/mounts")
"""What is mounted, as Linux tells it. Elsewhere there is no such file, and nothing is known."""

_NETWORK = frozenset((
    "9p", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "glusterfs", "gpfs", "lustre",
    "ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "pvfs2", "smb", "smb2", "smb3", "smbfs", "vboxsf",
    "vmhgfs",
))  # fmt: skip
_FUSE_NETWORK = frozenset((
    "blobfuse", "blobfuse2", "ceph", "davfs2", "gcsfuse", "glusterfs", "goofys", "juicefs", "mount-s3",
    "rclone", "s3fs", "sshfs", "vmhgfs-fuse",
))  # fmt: skip
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    Attributes:
        folder: Where it is mounted.
        kind: Its type, as the kernel calls it.
    """

    folder: Path
    kind: str

    @property
    def is_network(self) -> bool:
        """Whether several machines, or a guest and its host, may share it."""
        family, _, name = self.kind.partition(".")
        return self.kind in _NETWORK or (family in ("fuse", "fuseblk") and name in _FUSE_NETWORK)


def require_reliable_locks(database: Path) -> None:
    """Makes sure, as far as can be told, that an SQLite file would be where its locks work.

    Raises:
        UnsafeFileSystemError: It would be on a network file system, and nobody has allowed that.
    """
    mount = mount_of(database)
    if mount is not None and mount.is_network and os.environ.get(ALLOWED_BY) != "allow":
        raise UnsafeFileSystemError(database, mount.folder, mount.kind, ALLOWED_BY)


def mount_of(path: Path) -> Mount | None:
    """The file system that a path is on, or would be; None where that cannot be told."""
    place = path.resolve()
    found = None
    for mount in _mounts():
        # What was mounted last over a folder hides what was mounted there before.
        if place.is_relative_to(mount.folder) and (
            found is None or len(mount.folder.parts) >= len(found.folder.parts)
        ):
            found = mount
    return found


def _mounts() -> Iterator[Mount]:
    try:
        lines = TABLE.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _device, folder, kind, *_options = line.split(" ")
        # Blanks in names are written as octal numbers.
        yield Mount(Path(_ESCAPED.sub(lambda code: chr(int(code[1], 8)), folder)), kind)
