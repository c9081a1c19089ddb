import dataclasses
import errno
import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from toolkit.errors import ShardError
from toolkit.shards.files import (
    MACHINE_TROUBLE,
    mark_machine,
    mark_process,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)
from toolkit.shards.sidecar import Sidecar, read_sidecar, shard_path, sidecar_path, write_sidecar

SIDECAR = Sidecar(3, "f" * 64, "a" * 64, 1234, [{"sample_id": "-Äx", "status": "ok"}])


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shards").mkdir()
    return tmp_path


def test_an_atomic_write_leaves_one_file(tmp_path):
    write_atomically(tmp_path / "a", lambda aside: aside.write_text("new"))
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "new")]


def test_a_write_that_breaks_off_keeps_the_old_file(tmp_path):
    (tmp_path / "a").write_text("old")

    def break_off(aside):
        aside.write_text("half")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        write_atomically(tmp_path / "a", break_off)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a", "old")]


def test_a_file_being_written_has_another_name(tmp_path):
    seen = []
    write_atomically(
        tmp_path / "a",
        lambda aside: (
            aside.write_text("x") and seen.append((aside.name, (tmp_path / "a").exists()))
        ),
    )
    assert seen == [(f".a.{mark_process()}.writing", False)]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="names open files by /proc")
def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_afterwards(
    tmp_path, monkeypatch
):
    steps, rename = [], Path.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: steps.append(Path(f"/proc/self/fd/{handle}").readlink().name)
    )
    monkeypatch.setattr(Path, "replace", lambda a, b: steps.append(b.name) or rename(a, b))
    write_atomically(tmp_path / "a", lambda aside: aside.write_text("x"))
    assert steps == [f".a.{mark_process()}.writing", "a", tmp_path.name]


@pytest.mark.parametrize("n_bytes", [0, 1, (1 << 22) - 1, 1 << 22, (1 << 22) + 1])
def test_digests_cover_every_byte(tmp_path, n_bytes):
    data = bytes(range(256)) * (n_bytes // 256) + bytes(n_bytes % 256)
    (tmp_path / "a").write_bytes(data)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_a_digest_waits_for_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe or a device"):
        sha256_of(tmp_path / "pipe")


def test_json_keeps_order_and_letters(tmp_path):
    write_json(tmp_path / "a.json", {"b": "Ä", "a": 1})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "b": "Ä",\n "a": 1\n}\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "content: expected a thing, found Expecting value"),
        (b"{", "content: expected a thing, found Expecting property name"),
        (b"[1]", "line 1: expected a thing, found a JSON list"),
        (b"null", "line 1: expected a thing, found a JSON NoneType"),
        (b"\xff\xfe\xfd", "content: expected a thing, found"),
        (b"[" * 200_000, "content: expected a thing, found"),
    ],
)
def test_what_is_no_json_object_is_refused(tmp_path, content, told):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ShardError) as caught:
        read_json(tmp_path / "a.json", "a thing")
    assert str(caught.value).startswith(f"{tmp_path / 'a.json'}: {told}")


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ShardError, match=r"a\.json: file: expected a thing, found No such file"):
        read_json(tmp_path / "a.json", "a thing")


def test_where_a_shard_and_its_sidecar_lie(tmp_path):
    assert shard_path(tmp_path, 12) == tmp_path / "shards" / "00012.h5"
    assert sidecar_path(tmp_path, 123456) == tmp_path / "shards" / "123456.json"


def test_a_sidecar_comes_back(folder):
    write_sidecar(folder, SIDECAR)
    assert read_sidecar(folder, 3) == SIDECAR


def test_a_sidecar_of_another_shard_is_refused(folder):
    write_sidecar(folder, SIDECAR)
    sidecar_path(folder, 3).rename(sidecar_path(folder, 4))
    with pytest.raises(ShardError, match=r"00004\.json: shard: expected the sidecar of shard 4"):
        read_sidecar(folder, 4)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sample_id", None), ("sample_id", 1), ("status", None), ("status", ["ok"]),
        ("n_frames", [1]), ("fps", "25"), ("setup", {}),
    ],
)  # fmt: skip
def test_a_sidecar_with_a_value_of_another_type_is_refused(folder, field, value):
    row = {**SIDECAR.rows[0], field: value}
    write_sidecar(folder, dataclasses.replace(SIDECAR, rows=[row]))
    with pytest.raises(ShardError, match=rf"00003\.json: row 0: {field}: expected its type, found"):
        read_sidecar(folder, 3)


@pytest.mark.parametrize("change", ["drop", "null", "text"])
@pytest.mark.parametrize("field", ["shard", "n_bytes", "rows"])
def test_a_sidecar_without_a_field_is_refused(folder, field, change):
    write_sidecar(folder, SIDECAR)
    data = json.loads(sidecar_path(folder, 3).read_text())
    data |= {field: {"null": None, "text": "x"}.get(change)}
    if change == "drop":
        del data[field]
    sidecar_path(folder, 3).write_text(json.dumps(data))
    with pytest.raises(ShardError, match=r"00003\.json: content: expected all fields"):
        read_sidecar(folder, 3)


def test_a_machine_is_named_without_dots(monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "node_7.cluster.org")
    assert mark_machine.__wrapped__().startswith("node-7-cluster-org")
    assert mark_process() == f"{os.getpid()}-{mark_machine()}"


def test_containers_on_one_machine_are_told_apart(monkeypatch):
    one = mark_machine.__wrapped__()
    stat = os.stat

    def elsewhere(path, **options):
        return stat("/" if path == "/proc/self/ns/pid" else path, **options)

    monkeypatch.setattr(os, "stat", elsewhere)
    assert mark_machine.__wrapped__() != one


def test_a_socket_is_no_file(tmp_path):
    with socket.socket(socket.AF_UNIX) as there:
        there.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match="a pipe or a device") as caught:
            sha256_of(tmp_path / "socket")
    assert caught.value.errno not in MACHINE_TROUBLE


def test_a_full_disk_is_told_with_the_file(tmp_path):
    def fill(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "a", fill)
    assert caught.value.filename == str(tmp_path / "a")


class UnnamedError(FileNotFoundError):
    """As of PyAV, whose file cannot be named afterwards."""

    filename = property(lambda self: None)


def fail_unnamed(aside):
    raise UnnamedError(errno.ENOENT, "No such file or directory")


@pytest.mark.parametrize(
    "write", [lambda aside: aside.write_text("x"), fail_unnamed, lambda aside: None]
)
def test_an_error_names_the_file_asked_for(tmp_path, write):
    path = tmp_path / "nodir" / "a.json"
    with pytest.raises(FileNotFoundError, match="No such file") as caught:
        write_atomically(path, write)
    assert caught.value.filename == str(path)


def test_an_error_of_another_file_keeps_its_name(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "a", lambda aside: (tmp_path / "other").read_bytes())
    assert caught.value.filename == str(tmp_path / "other")
