import dataclasses
import errno
import hashlib
import os

import pytest
from recordings import OPTIONS, folder_data, write_damaged, write_poses

from toolkit.build import worker
from toolkit.build.plan import make_plan
from toolkit.build.worker import OwnerGoneError, ShardTask, build_shard
from toolkit.errors import ShardError, SkeletonFileError
from toolkit.shards.sidecar import read_sidecar


@pytest.fixture
def task(tmp_path):
    """One shard of recordings a and c and the damaged b."""
    for name in "ac":
        write_poses(tmp_path / "raw", name, 4)
    write_damaged(tmp_path / "raw", "b")
    plan = make_plan(folder_data(tmp_path / "raw"), OPTIONS)
    (tmp_path / "shards").mkdir()
    return ShardTask(
        folder=tmp_path,
        number=7,
        fingerprint="f" * 64,
        layout=plan.header.layout,
        options=OPTIONS,
        samples=plan.rows,
        owner=os.getpid(),
    )


def left_by(task):
    return sorted(path.name for path in (task.folder / "shards").iterdir())


def test_rows_come_in_the_order_of_the_plan_and_count_stored_samples(task):
    rows = build_shard(task)
    places = [(r["sample_id"], r["status"], r.get("shard"), r.get("shard_row")) for r in rows]
    assert places == [("a", "ok", 7, 0), ("b", "bad_skeleton", None, None), ("c", "ok", 7, 1)]


def test_the_sidecar_holds_rows_digest_and_fingerprint(task):
    rows = build_shard(task)
    data = (task.folder / "shards" / "00007.h5").read_bytes()
    sidecar = read_sidecar(task.folder, 7)
    assert left_by(task) == ["00007.h5", "00007.json"]
    assert (sidecar.fingerprint, sidecar.rows) == ("f" * 64, rows)
    assert (sidecar.sha256, sidecar.n_bytes) == (hashlib.sha256(data).hexdigest(), len(data))


def test_no_old_sidecar_vouches_for_a_shard_under_way(task, monkeypatch):
    build_shard(task)

    def be_killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "write_sidecar", be_killed)
    with pytest.raises(KeyboardInterrupt):
        build_shard(task)
    assert left_by(task) == ["00007.h5"]


def test_a_shard_that_does_not_read_back_gets_no_name(task, monkeypatch):
    monkeypatch.setattr(worker.ShardReader, "__len__", lambda reader: 1)
    with pytest.raises(ShardError, match="samples: expected 2, found 1"):
        build_shard(task)
    assert left_by(task) == []


def test_a_shard_that_nobody_waits_for_is_given_up(task):
    gone = 2**22 + 1  # higher than any process number Linux gives
    with pytest.raises(OwnerGoneError, match="shard 7: the process that asked for it is gone"):
        build_shard(dataclasses.replace(task, owner=gone))
    assert left_by(task) == []


@pytest.mark.parametrize(
    "name",
    ["EIO", "ENOTCONN", "ETIMEDOUT", "ECONNABORTED", "EREMOTEIO", "ENXIO", "EHOSTDOWN", "ESTALE"],
)
def test_trouble_of_a_file_server_is_not_held_against_a_recording(task, monkeypatch, name):
    number = getattr(errno, name)

    class Troubled:
        def extract(self, planned, add_picture):
            error = SkeletonFileError("a", "file", expected="poses", found="trouble")
            raise error from OSError(number, "trouble")

    monkeypatch.setattr(worker, "_open_source", lambda task: Troubled())
    with pytest.raises(SkeletonFileError):
        build_shard(task)
    assert left_by(task) == []
