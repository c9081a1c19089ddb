"""Shards that HDF5 would read from elsewhere, or that are of another make."""

import struct

import h5py
import numpy as np
import pytest
from stored import refusal, replace_table, table


def test_a_shard_whose_root_is_no_group(whole, tmp_path):
    path = tmp_path / "00001.h5"
    with h5py.File(whole) as shard, h5py.File(path, "w", libver="earliest") as file:
        table = file.create_dataset("x", data=np.arange(5))
        for name, value in shard.attrs.items():
            table.attrs[name] = value
        address = h5py.h5o.get_info(table.id).addr
    with path.open("r+b") as file:
        # The superblock's address of the root group.
        file.seek(64)
        file.write(address.to_bytes(8, "little"))
    assert refusal(path).startswith("file: expected an HDF5 shard, found ")
    assert refusal(path).endswith("(not a group)")


def test_a_foreign_hdf5_file(tmp_path):
    path = tmp_path / "00000.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.arange(5)
    wanted = "format: expected ctxtool-shard version 1 or 2, found None version None"
    assert refusal(path) == wanted


@pytest.mark.parametrize("name", ["skeleton/joints", "rgb/data", "rgb", "sample"])
@pytest.mark.parametrize("dangles", [True, False])
def test_a_table_in_another_file_is_refused(shard, whole, name, dangles):
    with h5py.File(shard, "r+") as file:
        del file[name]
        file[name] = h5py.ExternalLink("nowhere.h5" if dangles else str(whole), name)
    assert refusal(shard) == f"{name}: expected a table in this file, found ExternalLink"


@pytest.mark.parametrize("name", ["skeleton/joints", "rgb", "sample"])
@pytest.mark.parametrize("dangles", [True, False])
def test_a_soft_link_is_refused(shard, name, dangles):
    with h5py.File(shard, "r+") as file:
        file.move(name, "elsewhere")
        file[name] = h5py.SoftLink("/nowhere" if dangles else "/elsewhere")
    assert refusal(shard) == f"{name}: expected a table in this file, found SoftLink"


@pytest.mark.parametrize("name", ["skeleton/joints", "sample/row", "rgb/data"])
@pytest.mark.parametrize("storage", [{"chunks": True}, {"compression": "gzip"}])
def test_a_chunked_table_is_refused(shard, name, storage):
    replace_table(shard, name, table(shard, name), **storage)
    assert refusal(shard) == f"{name}: expected a contiguous table, found another storage"


def test_a_table_stored_in_an_outer_file_is_refused(shard, tmp_path):
    data = table(shard, "rgb/data")
    (tmp_path / "outer").write_bytes(data.tobytes())
    outer = [(str(tmp_path / "outer"), 0, data.size)]
    with h5py.File(shard, "r+") as file:
        del file["rgb/data"]
        file.create_dataset("rgb/data", shape=data.shape, dtype="u1", external=outer)
    assert refusal(shard) == "rgb/data: expected a contiguous table, found another storage"


@pytest.mark.parametrize("name", ["sample/label", "skeleton/joints"])
def test_a_table_in_an_outer_file_that_claims_a_place_in_this_one_too_is_refused(
    shard, tmp_path, name
):
    data = table(shard, name)
    (tmp_path / "outer").write_bytes(bytes(data.nbytes))
    with h5py.File(shard, "r+") as file:
        place = file[name].id.get_offset()
        del file[name]
        outer = [(str(tmp_path / "outer"), 0, data.nbytes)]
        file.create_dataset(name, shape=data.shape, dtype=data.dtype, external=outer)
    # In the layout message of a contiguous table its address follows a 1, its size follows that.
    undefined, placed = (
        b"\1" + struct.pack("<QQ", address, data.nbytes) for address in (2**64 - 1, place)
    )
    content = shard.read_bytes()
    assert content.count(undefined) == 1
    shard.write_bytes(content.replace(undefined, placed))
    assert refusal(shard) == f"{name}: expected a contiguous table, found another storage"


def test_a_virtual_table_is_refused(shard, whole):
    data = table(shard, "rgb/data")
    layout = h5py.VirtualLayout(data.shape, "u1")
    layout[:] = h5py.VirtualSource(str(whole), "rgb/data", data.shape)
    with h5py.File(shard, "r+") as file:
        del file["rgb/data"]
        file.create_virtual_dataset("rgb/data", layout)
    assert refusal(shard) == "rgb/data: expected a contiguous table, found another storage"


def test_a_shard_behind_a_user_block(tmp_path):
    path = tmp_path / "00000.h5"
    with h5py.File(path, "w", userblock_size=1024) as file:
        file.create_dataset("sample/label", shape=(5,), dtype="<i4")
    assert refusal(path) == "file: expected an HDF5 shard, found one behind a user block"
