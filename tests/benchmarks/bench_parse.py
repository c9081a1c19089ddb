"""How fast pose files are read: ours, peers by their description, and reading the bytes alone.

One thread does all the work, so rates are per second of its CPU time.
Run as ``python tests/benchmarks/bench_parse.py [rounds]``.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from timing import Names, Row, measure, print_table, summarise

from toolkit.readers.kinetics_json import read_kinetics_json
from toolkit.readers.ntu_skeleton import read_ntu_skeleton

# As pytest does: the builders lie beside the tests.
sys.path.append(str(Path(__file__).resolve().parents[1]))
from builders import (
    NTU_ID,
    ntu_frames,
    pose_person,
    write_kinetics_json,
    write_ntu_skeleton,
)

DEPTH, COLOUR = ("depthX", "depthY"), ("colorX", "colorY")
ORIENTATION = ("orientationW", "orientationX", "orientationY", "orientationZ")
ROW_KEYS = ("x", "y", "z", *DEPTH, *COLOUR, *ORIENTATION, "trackingState")


def loop_over_lines(path):
    """Read as CTR-GCN is described: line by line, a dict of floats per joint, arrays at the end."""
    with path.open() as file:
        frames = []
        for _ in range(int(file.readline())):
            bodies = {}
            for _ in range(int(file.readline())):
                body_id = file.readline().split()[0]
                rows = [
                    dict(zip(ROW_KEYS, map(float, file.readline().split()), strict=True))
                    for _ in range(int(file.readline()))
                ]
                bodies[body_id] = (
                    [[row["x"], row["y"], row["z"]] for row in rows],
                    [[row["colorX"], row["colorY"]] for row in rows],
                )
            frames.append(bodies)
    ids = list(dict.fromkeys(body_id for bodies in frames for body_id in bodies))
    return {i: np.array([b[i][0] for b in frames if i in b], np.float32) for i in ids}


def loadtxt_over_rows(path):
    """Read by a walk over the lines and one np.loadtxt; no check but loadtxt's own."""
    lines = path.read_text().split("\n")
    rows, at = [], 1
    for _ in range(int(lines[0])):
        n_bodies = int(lines[at])
        at += 1
        for _ in range(n_bodies):
            rows += lines[at + 2 : at + 27]
            at += 27
    return np.loadtxt(rows, ndmin=2)


def loop_over_people(path, max_people=2):
    """Read as ST-GCN is described: json.load, then one assignment per person."""
    with path.open() as file:
        document = json.load(file)
    data = np.zeros((3, len(document["data"]), 18, max_people), np.float32)
    for frame in document["data"]:
        t = frame["frame_index"] - 1
        for m, person in enumerate(frame["skeleton"][:max_people]):
            data[0, t, :, m] = person["pose"][0::2]
            data[1, t, :, m] = person["pose"][1::2]
            data[2, t, :, m] = person["score"]
    return data


def time_skeleton_text(folder, rounds):
    frames = ntu_frames(*[[NTU_ID, NTU_ID + 1]] * 55)
    path = write_ntu_skeleton(folder / "S001C001P001R001A050.skeleton", frames)
    size = path.stat().st_size
    ours, peer = read_ntu_skeleton(path), loop_over_lines(path)
    for slot, joints in enumerate(peer.values()):
        np.testing.assert_array_equal(ours.joints[:, slot], joints)
    cases = {
        "reading the bytes (limit)": lambda: len(path.read_bytes()),
        "ours": lambda: read_ntu_skeleton(path) and size,
        "walk + np.loadtxt": lambda: len(loadtxt_over_rows(path)) and size,
        "line loop (CTR-GCN style)": lambda: len(loop_over_lines(path)) and size,
    }
    title = f"NTU .skeleton text, {size / 1e3:.0f} kB, {len(frames)} frames x 2 bodies"
    rates = measure(cases, rounds, clock=time.process_time)
    print_table(title, rates, peer="line loop (CTR-GCN style)", unit="MB/CPU s", scale=1e6)
    names = Names("ours", "line loop (CTR-GCN style)", "reading the bytes (limit)", reach=3)
    return summarise(".skeleton text", rates, names, unit="MB/CPU s", scale=1e6)


def time_kinetics_json(folder, rounds):
    people = [[pose_person(2 * t), pose_person(2 * t + 1)] for t in range(300)]
    path = write_kinetics_json(folder / "-abc_123456.json", people)
    np.testing.assert_array_equal(
        read_kinetics_json(path).sequence.joints.transpose(3, 0, 2, 1), loop_over_people(path)
    )
    cases = {
        "reading the bytes (limit)": lambda: bool(path.read_bytes()),
        "ours": lambda: len(read_kinetics_json(path).sequence) // 300,
        "json.load + loop": lambda: len(loop_over_people(path)) // 3,
    }
    title = f"Kinetics-skeleton JSON, {path.stat().st_size / 1e3:.0f} kB, 300 frames x 2 people"
    rates = measure(cases, rounds, clock=time.process_time)
    print_table(title, rates, peer="json.load + loop", unit="files/CPU s")
    names = Names("ours", "json.load + loop", "reading the bytes (limit)", reach=2)
    return summarise("Kinetics JSON", rates, names, unit="files/CPU s")


def bench(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [job(Path(folder), rounds) for job in (time_skeleton_text, time_kinetics_json)]


def main():
    bench(int(sys.argv[1]) if len(sys.argv) > 1 else 25)


if __name__ == "__main__":
    main()
