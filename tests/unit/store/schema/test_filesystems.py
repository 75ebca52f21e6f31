"""On which file systems a database may be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ablate.errors import StoreError
from ablate.store import open_store
from ablate.store.schema.filesystems import kind_of, refuse_network_fs

MOUNTS = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:50 / /home rw,relatime shared:1 master:2 - nfs4 server:/home rw
41 40 0:51 / /home/ada/local rw - xfs /dev/sdb rw
42 27 0:52 / /my\040disk rw - fuse.sshfs host: rw
43 27 0:53 / /new rw - somethingfs x rw
44 27 0:54 / /twice rw - ext4 /dev/sdc rw
45 44 0:55 / /twice rw - cifs //host/share rw
46 27 0:56 / /scratch rw - lustre mds:/fs rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/x.db", "ext4"),
        ("/home/bob/x.db", "nfs4"),
        ("/home/ada/local/x.db", "xfs"),
        ("/homes/x.db", "ext4"),
        ("/my disk/deep/er/x.db", "fuse.sshfs"),
        ("/twice/x.db", "cifs"),
        ("/new/x.db", "somethingfs"),
    ],
)
def test_kind_is_that_of_the_mount_that_holds_the_path(path: str, kind: str) -> None:
    assert kind_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("folder", ["/home/bob", "/my disk", "/twice", "/scratch"])
def test_network_is_refused_with_the_way_out(folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(folder, "x.db")

    with pytest.raises(StoreError, match=f"database {path} would lie on") as caught:
        refuse_network_fs(path, MOUNTS)
    for way in ("--db", "PostgreSQL", "ABLATE_ALLOW_NETWORK_FS=1"):
        assert way in (caught.value.hint or "")

    monkeypatch.setenv("ABLATE_ALLOW_NETWORK_FS", "1")
    refuse_network_fs(path, MOUNTS)


def test_local_and_unknown_disks_are_not_refused() -> None:
    for path in ("/srv/x.db", "/home/ada/local/x.db", "/new/x.db"):
        refuse_network_fs(Path(path), MOUNTS)
    refuse_network_fs(Path("/srv/x.db"), "")


def test_database_over_a_real_network_mount_is_not_made(tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    for kind, source in (("nfs4", "127.0.0.1:/"), ("9p", "x"), ("cifs", "//127.0.0.1/x")):
        command = ["mount", "-t", kind, "-o", "soft,timeo=5,retrans=1", source, str(mount)]
        if os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("needs the right to mount, and something over a network to mount")
    try:
        with pytest.raises(StoreError, match="would lie on"):
            open_store(str(mount / "x.db"))
        assert list(mount.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)
