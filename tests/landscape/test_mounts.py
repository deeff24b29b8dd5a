from pathlib import Path

import pytest
from platforms import Platform

from elspeth_dagster.landscape import mounts
from elspeth_dagster.landscape.catalogue import Landscape
from elspeth_dagster.landscape.errors import UnsafeFileSystemError
from elspeth_dagster.landscape.location import Location


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Writes what is mounted, from pairs of folder and kind."""
    monkeypatch.delenv(mounts.ALLOWED_BY, raising=False)
    monkeypatch.setattr(mounts, "TABLE", tmp_path / "mounts")

    def write(*mounted):
        lines = [f"dev {str(folder).replace(' ', chr(92) + '040')} {kind} rw 0 0" for folder, kind in mounted]
        mounts.TABLE.write_text("\n".join(lines) + "\n")

    return write


@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "fuse.glusterfs", "ceph", "lustre", "vboxsf"]
)
def test_a_catalogue_is_not_begun_on_a_network_file_system(table, tmp_path, kind):
    shared = tmp_path / "shared folder"
    table(("/", "ext4"), (shared, kind))
    with pytest.raises(UnsafeFileSystemError, match="cannot be relied on") as caught:
        Landscape.open(Location.parse(shared / "deep" / "landscape"))
    assert all(part in str(caught.value) for part in (str(shared), kind, "PostgreSQL", mounts.ALLOWED_BY))
    assert not shared.exists()
    Landscape.open(Location.parse(tmp_path / "shared folder of another name")).close()


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "fuse.mergerfs", "fuseblk"]
)
def test_a_local_one_is_taken(table, tmp_path, kind):
    table(("/", "nfs"), (tmp_path, kind))
    Landscape.open(Location.parse(tmp_path / "landscape")).close()


def test_what_was_mounted_last_counts(table, tmp_path):
    table((tmp_path, "nfs"), (tmp_path, "ext4"))
    assert mounts.mount_of(tmp_path / "x").kind == "ext4"
    table((tmp_path, "ext4"), (tmp_path, "nfs"))
    assert mounts.mount_of(tmp_path / "x").is_network


def test_a_link_leads_where_it_points(table, tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "shared")
    table(("/", "ext4"), (tmp_path / "shared", "nfs4"))
    with pytest.raises(UnsafeFileSystemError):
        Landscape.open(Location.parse(tmp_path / "link" / "landscape"))


def test_who_knows_better_may_use_it_and_anyone_may_read_it(table, tmp_path, monkeypatch):
    table((tmp_path, "nfs"))
    monkeypatch.setenv(mounts.ALLOWED_BY, "allow")
    Landscape.open(Location.parse(tmp_path)).close()
    monkeypatch.delenv(mounts.ALLOWED_BY)
    Landscape.open(Location.parse(tmp_path), create=False).close()
    with pytest.raises(UnsafeFileSystemError):
        Landscape.open(Location.parse(tmp_path))


def test_nothing_is_known_where_the_system_does_not_tell(table, tmp_path):
    assert not mounts.TABLE.exists()
    assert mounts.mount_of(tmp_path) is None
    Landscape.open(Location.parse(tmp_path)).close()


@pytest.mark.skipif(not mounts.TABLE.exists(), reason="only Linux has this table")
@pytest.mark.may_skip
def test_the_systems_own_table_is_read():
    assert mounts.mount_of(Path("/proc/1")).kind == "proc"


def test_a_run_is_refused_with_the_reason_and_writes_nothing(table, platform: Platform):
    table(("/", "ext4"), (platform.root, "nfs4"))
    platform.write("numbers.csv", "id\n1\n")
    settings = platform.pipeline("one", {
        "source": {"plugin": "csv", "on_success": "out",
                   "options": {"path": "numbers.csv", "on_validation_failure": "discard"}},
        "sinks": {"out": {"plugin": "csv", "options": {"path": "output/out.csv"}}},
    })  # fmt: skip
    refused = platform.run(settings)
    assert refused.code == 1
    assert "network file system (nfs4)" in refused.err
    assert not platform.path("output").exists()
    assert not platform.path("landscape").exists()
