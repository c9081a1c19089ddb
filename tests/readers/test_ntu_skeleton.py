import re

import numpy as np
import pytest
from builders import NTU_ID, ntu_body, ntu_frames, ntu_text, write_ntu_skeleton
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import SkeletonFileError
from toolkit.readers.decimals import parse_decimals
from toolkit.readers.ntu_skeleton import read_ntu_skeleton

# Of the two-frame recording below: line 1 frame count, then per frame a body count, a body line,
# a joint count and 25 joint lines (5..29 and 33..57).
FIRST_JOINT, LAST_LINE = 5, 57
TWO_FRAMES = ntu_text(ntu_frames([NTU_ID], [NTU_ID]))


def read_text(tmp_path, text):
    path = tmp_path / "S001C001P001R001A001.skeleton"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_ntu_skeleton(path)


def with_line(number, edit):
    lines = TWO_FRAMES.splitlines()
    lines[number - 1] = edit(lines[number - 1])
    return "\n".join(lines) + "\n"


def with_field(number, field, value):
    return with_line(
        number, lambda line: " ".join([*line.split()[: field - 1], value, *line.split()[field:]])
    )


def test_every_frame_keeps_its_row_and_bodies_stand_in_order_of_appearance(tmp_path):
    late, early = NTU_ID, NTU_ID + 1
    frames = ntu_frames([], [early], [late, early], [], [late])
    poses = read_ntu_skeleton(write_ntu_skeleton(tmp_path / "a.skeleton", frames))
    assert poses.body_ids.tolist() == [early, late]
    expected = [[False, False], [True, False], [True, True], [False, False], [False, True]]
    assert poses.present.tolist() == expected
    np.testing.assert_array_equal(poses.joints[2, 1], np.float32(frames[2][late][:, :3]))
    np.testing.assert_array_equal(poses.joints[2, 0], np.float32(frames[2][early][:, :3]))
    assert not poses.joints[~poses.present].any()
    np.testing.assert_array_equal(poses.times, np.arange(5) / 30)


def test_pixels_are_fractions_of_the_colour_picture_and_tracking_is_kept(tmp_path):
    joints = ntu_body()
    joints[3, 5:7] = 960, 270
    joints[:, 11] = [0, 1, 2, 2, 2] * 5
    poses = read_ntu_skeleton(write_ntu_skeleton(tmp_path / "a.skeleton", [{7: joints}]))
    assert poses.pixels[0, 0, 3].tolist() == [0.5, 0.25]
    assert poses.tracking[0, 0].tolist() == [0, 1, 2, 2, 2] * 5


def test_ids_beyond_the_exact_doubles_stay_apart(tmp_path):
    ids = [2**56 + 3, 2**56 + 4, 2**63 - 1]
    poses = read_ntu_skeleton(write_ntu_skeleton(tmp_path / "a.skeleton", ntu_frames(ids)))
    assert poses.body_ids.tolist() == ids


@pytest.mark.parametrize("n_frames", [0, 1, 4])
def test_a_recording_without_bodies_has_frames_and_no_slot(tmp_path, n_frames):
    path = write_ntu_skeleton(tmp_path / "a.skeleton", [{}] * n_frames)
    assert read_ntu_skeleton(path).joints.shape == (n_frames, 0, 25, 3)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", " \n"),
        lambda text: text.rstrip("\n"),
        lambda text: text + "\n \n",
    ],
    ids=["crlf", "tabs", "trailing blanks", "no last newline", "blank lines at the end"],
)
def test_white_space_makes_no_difference(tmp_path, rewrite):
    plain, other = (read_text(tmp_path, text) for text in (TWO_FRAMES, rewrite(TWO_FRAMES)))
    for name in ("joints", "pixels", "tracking", "present", "body_ids"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))


@pytest.mark.parametrize("number", ["-7.257856E-05", "1e-3", "+.5", "3.", "0.1234567890123456789"])
def test_unusual_spellings_of_a_number_are_read_exactly(tmp_path, number):
    poses = read_text(tmp_path, with_field(FIRST_JOINT + 2, 2, number))
    assert poses.joints[0, 0, 2, 1] == np.float32(float(number))


BROKEN_NUMBERS = ["nan", "NaN", "inf", "-Infinity", "1_000", "1e999", "0x10", "1,5", "--1", "1.2.3"]


@pytest.mark.parametrize("number", BROKEN_NUMBERS)
@pytest.mark.parametrize("field", [1, 9])
def test_what_is_no_finite_number_is_refused_by_line_and_field(tmp_path, number, field):
    message = rf"line 8: expected a number in field {field}, found '{re.escape(number)}'"
    with pytest.raises(SkeletonFileError, match=message):
        read_text(tmp_path, with_field(8, field, number))


def slid():
    lines = TWO_FRAMES.splitlines()
    head, last = lines[9].rsplit(" ", 1)
    lines[9], lines[10] = head, f"{last} {lines[10]}"
    return "\n".join(lines)


def drop(number):
    lines = TWO_FRAMES.splitlines()
    del lines[number - 1]
    return "\n".join(lines)


BROKEN = {
    "empty": (b"", "byte 0: expected poses, found an empty file"),
    "blank": (b" \n\n", "line 1: expected a frame count, found a blank line"),
    "NUL-filled": (b"\0" * 100, "byte 0: expected text, found a NUL byte .100 of 100"),
    "NUL inside": (TWO_FRAMES.encode()[:50] + b"\0" * 9, "byte 50: expected text, found a NUL"),
    "binary": (b"\x89PNG\r\n", "line 1: expected ASCII text, found the byte 0x89"),
    "not ASCII": (with_field(6, 1, "1\N{MINUS SIGN}2"), "line 6: expected ASCII text"),
    "other digits": (with_field(6, 1, "\N{ARABIC-INDIC DIGIT ONE}"), "line 6: expected ASCII text"),
    "json": (b'{"data": []}', "line 1: expected a frame count, found '{\"data\": ..}'"),
    "no frame count": (drop(1), "line 2: expected a body count, found '72057594037931101 0 1"),
    "11 fields": (with_line(8, lambda s: s.rsplit(" ", 1)[0]), "line 8: .*, found 11 fields"),
    "13 fields": (with_line(8, lambda s: s + " 2"), "line 8: .* 12 numbers .*, found 13 fields"),
    "slid token": (slid(), "line 10: expected 12 numbers of a joint, found 11 fields"),
    "24 joints": (with_line(4, lambda s: "24"), "line 4: expected the joint count 25, found '24'"),
    "lost joint line": (drop(9), "line 29: expected 12 numbers of a joint, found 1 fields"),
    "lost last line": (drop(LAST_LINE), "line 57: expected 1 more joint lines, found the end"),
    "cut in a number row": (TWO_FRAMES[:-40], "line 57: expected 12 numbers of a joint, found"),
    "cut after a frame": (
        "\n".join(TWO_FRAMES.split("\n")[:29]),
        "line 30: expected a body count, found the end of the file",
    ),
    "trailing row": (
        TWO_FRAMES + TWO_FRAMES.splitlines()[-1],
        "line 58: expected the end of the file after 2 frames, found '",
    ),
    "negative count": (with_line(1, lambda s: "-2"), "line 1: expected a frame count, found '-2'"),
    "signed count": (with_line(2, lambda s: "+1"), "line 2: expected a body count, found '.1'"),
    "underscored count": (with_line(1, lambda s: "0_2"), "line 1: expected a frame count"),
    "billion frames": (
        with_line(1, lambda s: "1000000000"),
        "line 1: expected a frame count no higher than the number of lines left, 56, found",
    ),
    "billion bodies": (
        with_line(30, lambda s: "1000000000"),
        "line 30: expected a body count no higher than the number of lines left, 27, found",
    ),
    "endless count": (with_line(1, lambda s: "9" * 5000), "line 1: expected a frame count, found"),
    "body id in exponent form": (with_field(3, 1, "7.2e16"), "line 3: expected a body line"),
    "body id too large": (with_field(3, 1, str(2**63)), "line 3: expected a body line"),
    "body line of 9": (with_line(3, lambda s: s[:-2]), "line 3: expected a body line"),
    "body line with nan": (with_field(3, 8, "nan"), "line 3: expected a body line"),
    "body tracking 3": (with_field(3, 10, "3"), "line 3: expected a body line"),
    "tracking 3": (with_field(9, 12, "3"), "line 9: .*tracking state 0, 1 or 2 .*12, found 3"),
    "tracking -1": (with_field(9, 12, "-1"), "line 9: expected a tracking state"),
    "tracking 1.5": (with_field(9, 12, "1.5"), "line 9: expected a tracking state"),
    "2 km away": (with_field(40, 3, "2000"), "line 40: .* 1000 metres in field 3, found 2000"),
    "pixel far off": (with_field(40, 6, "-1e30"), "line 40: .*1000000 pixels in field 6, found -1"),
    "id twice": (
        ntu_text(ntu_frames([1])).replace("1\n1 ", "2\n1 ", 1) + ntu_text(ntu_frames([1]))[4:],
        "line 30: expected each body id once in frame 0, found 1 again",
    ),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_with_its_place(tmp_path, text, message):
    with pytest.raises(SkeletonFileError, match=message):
        read_text(tmp_path, text)


def test_a_missing_file_is_a_skeleton_file_error(tmp_path):
    with pytest.raises(SkeletonFileError, match="opening: expected a readable file, found No such"):
        read_ntu_skeleton(tmp_path / "none.skeleton")


def test_a_file_too_large_for_a_recording_is_refused_unread(tmp_path):
    path = tmp_path / "a.skeleton"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SkeletonFileError, match="size: expected a readable file, found 109"):
        read_ntu_skeleton(path)


def test_few_bytes_cannot_claim_much_memory(tmp_path):
    ids = range(60)
    text = ntu_text(ntu_frames(ids)).replace("1\n", "40001\n", 1) + "0\n" * 40000
    with pytest.raises(SkeletonFileError, match="found 40001 frames x 60 bodies"):
        read_text(tmp_path, text)


NUMBERS = st.one_of(
    st.decimals(-9999999, 9999999, places=7).map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda v: f"{v:.9g}"),
    st.integers(-(10**9), 10**9).map(str),
    st.sampled_from(["0", "-0", "-0.0", "00012.50", "123456.789012345", "0.00000000000001"]),
)


@given(st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_vouched_values_are_those_of_float(table):
    values, vouched = parse_decimals([" ".join(row).encode() for row in table], 3, (0, 1, 2))
    expected = np.array([[float(word) for word in row] for row in table])
    np.testing.assert_array_equal(values[vouched], expected[vouched])
    plain = [all(re.fullmatch(r"-?\d{1,7}(\.\d{1,8})?", w) for w in row) for row in table]
    assert vouched[plain].all()


@given(
    where=st.integers(0, 120),
    junk=st.binary(min_size=0, max_size=3),
    length=st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_vouched_rows_after_any_damage_are_plain_numbers(where, junk, length):
    text = b"\n".join(b"0.25 -1.5 300 2" for _ in range(8))
    rows = (text[:where] + junk + text[where + length :]).split(b"\n")
    values, vouched = parse_decimals(rows, 4, (0, 1, 2, 3))
    for row in np.flatnonzero(vouched):
        words = rows[row].split(b" ")
        assert all(re.fullmatch(rb"-?[0-9]+(\.[0-9]+)?", word) for word in words)
        assert values[row].tolist() == [float(word) for word in words]


REAL = [
    "S001C001P001R001A001",
    "S001C001P001R001A050",
    "S001C003P008R002A058",
    "S003C001P015R001A034",
    "S017C003P020R002A054",
    "S017C003P020R002A056",
]


@pytest.mark.parametrize("name", REAL)
def test_a_real_recording_equals_float_of_its_text(samples_dir, name):
    path = samples_dir / "ntu_skeleton" / f"{name}.skeleton"
    poses = read_ntu_skeleton(path)
    rows = [line.split() for line in path.read_text().splitlines()]
    numbers = np.array([row for row in rows if len(row) == 12], np.float64).reshape(-1, 25, 12)
    assert poses.present.all()
    kept = poses.joints.reshape(-1, 25, 3)
    np.testing.assert_array_equal(kept, numbers[:, :, :3].astype(np.float32))
    colour = (numbers[:, :, 5:7] / (1920, 1080)).astype(np.float32)
    np.testing.assert_array_equal(poses.pixels.reshape(-1, 25, 2), colour)
    np.testing.assert_array_equal(poses.tracking.reshape(-1, 25), numbers[:, :, 11])


@pytest.mark.parametrize("name", [REAL[0], *REAL[4:]])
def test_a_real_recording_equals_what_a_peer_stored(samples_dir, name):
    poses = read_ntu_skeleton(samples_dir / "ntu_skeleton" / f"{name}.skeleton")
    peer = np.load(samples_dir / "ntu_expected" / f"{name}.sgn_raw.npz")
    assert len(poses) == peer["num_frames"]
    for slot, body_id in enumerate(poses.body_ids):
        np.testing.assert_array_equal(poses.joints[:, slot], peer[f"{body_id}_joints"])
        colour = (peer[f"{body_id}_colors"].astype(np.float64) / (1920, 1080)).astype(np.float32)
        np.testing.assert_allclose(poses.pixels[:, slot], colour, rtol=2e-7)


def test_a_real_recording_equals_the_doubles_of_another_peer(samples_dir):
    poses = read_ntu_skeleton(samples_dir / "ntu_skeleton" / f"{REAL[0]}.skeleton")
    peer = np.load(samples_dir / "ntu_expected" / f"{REAL[0]}.txt2npy.npz")["skel_body0"]
    np.testing.assert_array_equal(poses.joints[:, 0], peer.astype(np.float32))


def test_real_crlf_and_lf_copies_are_identical(samples_dir):
    lf, crlf = (
        read_ntu_skeleton(samples_dir / folder / f"{REAL[0]}.skeleton")
        for folder in ("ntu_skeleton", "ntu_skeleton_crlf")
    )
    for name in ("joints", "pixels", "tracking", "present", "body_ids", "times"):
        np.testing.assert_array_equal(getattr(lf, name), getattr(crlf, name))
