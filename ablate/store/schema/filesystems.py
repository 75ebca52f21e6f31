"""On which file systems SQLite can keep its promises.

Its write-ahead log needs memory that all processes share and locks that hold. Over a network, one
machine does not see what another writes, and the file is damaged.
"""

from __future__ import annotations

import re
from pathlib import Path

from ablate.errors import StoreError
from ablate.settings import allows_network_fs

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "drvfs",
        "fhgfs",
        "gfs2",
        "glusterfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "prl_fs",
        "pvfs2",
        "smb3",
        "smbfs",
        "vboxsf",
        "wekafs",
        "fuse.beegfs-fuse",
        "fuse.ceph",
        "fuse.ceph-fuse",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.goofys",
        "fuse.juicefs",
        "fuse.lustre",
        "fuse.nfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "fuse.vmhgfs-fuse",
    }
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


def refuse_network_fs(path: Path, mounts: str | None = None) -> None:
    """Refuse a file where SQLite would lose what is written to it, unless the user insists.

    Args:
        path: Of the database; it may not be there yet.
        mounts: What ``/proc/self/mountinfo`` says, None to read it. Where there is none, as on
            other systems than Linux, nothing is refused.

    Raises:
        StoreError: With the way out.
    """
    if mounts is None:
        try:
            mounts = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return
    kind = kind_of(path, mounts)
    if kind in _NETWORK and not allows_network_fs():
        raise StoreError(
            f"database {path} would lie on {kind}, over which SQLite loses and damages data",
            hint="put it on a local disk (--db PATH, or db in ablate.toml) or on PostgreSQL; "
            "ABLATE_ALLOW_NETWORK_FS=1 if you know better",
        )


def kind_of(path: Path, mounts: str) -> str:
    """Return the type of the file system that holds a path, empty where that is not known."""
    place = path.resolve()
    kind, depth = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        if len(fields) < 5 or not after:
            continue
        mount = Path(_ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Of mounts at one place the last one is seen.
        if len(mount.parts) >= depth and place.is_relative_to(mount):
            kind, depth = after.split()[0], len(mount.parts)
    return kind
