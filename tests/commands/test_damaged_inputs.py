"""Every way a raw recording can be broken gets a row, a reason and a sentence of its own."""

import re

import pandas as pd
import pytest
from builders import ntu_body, ntu_frames, ntu_text
from running import ctxtool
from video_builders import XVID, gray_pictures, write_sound, write_video

N_FRAMES = 24
GOOD = ntu_text(ntu_frames(*[[7]] * N_FRAMES))


def changed(line, change):
    """Return the good text with one line (counted from 1) put through ``change``."""
    lines = GOOD.splitlines()
    lines[line - 1] = change(lines[line - 1])
    return "\n".join(lines) + "\n"


def with_field(line, field, text):
    def change(row):
        fields = row.split()
        fields[field] = text
        return " ".join(fields)

    return changed(line, change)


# Lines of the good text: 1 frame count, 2 body count, 3 body, 4 joint count, 5-29 joints.
# Each damage: the file's content, and what its sentence must say.
SKELETONS = {
    "empty": (b"", "empty"),
    "only zeros": (bytes(5000), "NUL"),
    "cut off": (GOOD[: len(GOOD) // 2], "line"),
    "nan": (with_field(6, 1, "nan"), "line 6"),
    "infinity": (with_field(7, 2, "inf"), "line 7"),
    "underscore": (with_field(8, 0, "1_000"), "line 8"),
    "dropped token": (changed(9, lambda row: row.rsplit(" ", 1)[0]), "line 9"),
    "extra token": (changed(10, lambda row: f"{row} 2"), "line 10"),
    "24 joints": (changed(4, lambda _: "24"), "line 4"),
    "trailing rows": (GOOD + "0.1 0.2 0.3\n", "after"),
    "a billion frames": (changed(1, lambda _: "1000000000"), "1000000000"),
    "negative count": (changed(2, lambda _: "-1"), "line 2"),
    "tracking state 9": (with_field(12, 11, "9"), "line 12"),
    "prose": ("this is not a recording\n" * 50, "line 1"),
    "id twice": (
        ntu_text([{7: ntu_body(1), 8: ntu_body(2)}]).replace("\n8 ", "\n7 "),
        "7",
    ),
    "no body": (ntu_text([{}] * N_FRAMES), "none of the 24 frames"),
}
REASONS = {"no body": "no_body"}


def write_good_video(path):
    write_video(path, gray_pictures(N_FRAMES), XVID)


def write_cut_video(path):
    write_good_video(path)
    path.write_bytes(path.read_bytes()[:200])


def write_short_video(path):
    write_video(path, gray_pictures(N_FRAMES - 9), XVID)


# Each damage: how the video is written, its reason, what its sentence must say.
VIDEOS = {
    "empty video": (lambda path: path.touch(), "bad_video", "empty"),
    "zeros": (lambda path: path.write_bytes(bytes(4000)), "bad_video", "header"),
    "header only": (write_cut_video, "bad_video", ""),
    "prose video": (lambda path: path.write_text("hello\n" * 99), "bad_video", ""),
    "sound only": (write_sound, "bad_video", "video"),
    "nine frames short": (write_short_video, "misaligned", "24 pose frames, 15 video frames"),
    "no video": (None, "missing_video", "no S001"),
}


def name_of(number):
    return f"S001C001P{number + 1:03d}R001A001"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build one folder with every damage and one good recording; (manifest by damage, run)."""
    raw = tmp_path_factory.mktemp("damaged")
    names = {damage: name_of(i) for i, damage in enumerate([*SKELETONS, *VIDEOS, "good"])}
    for damage, name in names.items():
        text = SKELETONS.get(damage, (GOOD, ""))[0]
        data = text if isinstance(text, bytes) else text.encode()
        (raw / f"{name}.skeleton").write_bytes(data)
        write = VIDEOS.get(damage, (write_good_video, "", ""))[0]
        if write:
            write(raw / f"{name}_rgb.avi")
    ran = ctxtool("extract-ntu", "--raw", raw, "--out", raw / "out", "--jobs", 1)
    manifest = pd.read_parquet(raw / "out" / "manifest.parquet").set_index("sample_id")
    return manifest.loc[list(names.values())].assign(damage=list(names)).set_index("damage"), ran


@pytest.mark.parametrize("damage", SKELETONS)
def test_damaged_skeleton_is_named(built, damage):
    row = built[0].loc[damage]

    assert row["status"] == REASONS.get(damage, "bad_skeleton")
    assert SKELETONS[damage][1] in row["detail"]
    assert row["poses"] in row["detail"]


@pytest.mark.parametrize("damage", VIDEOS)
def test_damaged_video_is_named(built, damage):
    row = built[0].loc[damage]

    assert row["status"] == VIDEOS[damage][1]
    assert VIDEOS[damage][2] in row["detail"]


def test_no_two_damages_get_the_same_sentence(built):
    details = built[0].drop("good")["detail"]
    without_names = details.map(lambda text: re.sub(r"\S*S001C001P\d+R001A001\S*", "FILE", text))

    assert len(without_names) >= 20
    assert not without_names.duplicated().any()
    assert not details.str.contains("\n").any()


def test_the_good_one_is_kept_and_the_exit_tells_of_the_rest(built):
    manifest, ran = built

    assert manifest.loc["good", "status"] == "ok"
    assert ran.status == 3
    assert f"{len(manifest)} planned = 1 ok" in ran.out
    assert "--allow bad_skeleton" in ran.err
