import dataclasses

import pytest
from recordings import OPTIONS

from toolkit.build.options import BuildOptions


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("pose_fps", 0), ("pose_fps", -30), ("tolerance_ms", -0.1), ("min_frames", 0),
        ("frame_size", 15), ("frame_size", 129), ("frame_size", -2), ("quality", 0),
        ("codec", "hevc"), ("crf", 0), ("crf", 52),
        ("quality", 101), ("samples_per_shard", 0), ("pose_fps", float("nan")),
        ("tolerance_ms", float("nan")),
    ],
)  # fmt: skip
def test_a_value_outside_its_range_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name.replace('_', ' ')} cannot be {value}"):
        dataclasses.replace(OPTIONS, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("frame_size", 0), ("frame_size", 16), ("quality", 1)])
def test_the_ends_of_a_range_are_accepted(name, value):
    assert getattr(dataclasses.replace(OPTIONS, **{name: value}), name) == value


def test_defaults_are_the_documented_ones():
    options = BuildOptions(source="ntu", align="frame", bodies="denoise")
    assert (options.frame_size, options.quality, options.pose_fps) == (128, 90, 30.0)


def test_options_survive_their_dictionary():
    assert BuildOptions(**OPTIONS.to_dict()) == OPTIONS


def test_ntu_poses_have_one_rate():
    with pytest.raises(ValueError, match=r"NTU RGB\+D poses come at 30 a second, not 25"):
        BuildOptions(source="ntu", align="frame", bodies="denoise", pose_fps=25.0)
