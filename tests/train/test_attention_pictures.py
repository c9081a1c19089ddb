import csv
from dataclasses import replace

import av
import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_runs import write_tiny_dataset
from trained_runs import run_module, train_run

from toolkit.shards import LAYOUTS, DatasetReader
from train import attention as pictures
from train.attention import PictureOptions, attention, draw_sample, draw_subset
from train.attention_heatmap import JointMeans, measure_joints
from train.attention_maps import (
    ClipAttention,
    ModuleAttention,
    attend_sample,
    capture_pairs,
    fold_places,
)
from train.attention_pictures import Figure6, Scale, describe_clip, interpolate_weights
from train.errors import TrainError
from train.evaluate import EvaluationOptions, make_loader
from train.models import AttentionConfig, CrossAttention, capture_attention
from train.sampling import Span
from train.saved_run import load_run


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_dataset(tmp_path_factory.mktemp("shards") / "made")


@pytest.fixture(scope="module")
def run(tmp_path_factory, shards):
    return train_run(shards, tmp_path_factory.mktemp("runs") / "cross")


@pytest.fixture(scope="module")
def loaded(run):
    return load_run(run, device="cpu")


def made_clip(gates, n_valid=16, present=(True, False)):
    """Return a clip of 16 frames whose gates are (M, T', V) arrays."""
    layout = LAYOUTS["openpose18"]
    shown = np.tile(np.array(present), (n_valid, 1))
    return ClipAttention(
        "a", "a", 0, Span(0, n_valid), 16, "jump", "jump", 1.0, layout,
        np.full((n_valid, 2, 18, 2), 0.5, np.float32), shown, None,
        {"gcn6": ModuleAttention(gates)},
    )  # fmt: skip


def steps(values):
    """Return a gate (2, T', 18) that has these values over time for every joint of body 0."""
    gate = np.zeros((2, len(values), 18), np.float32)
    gate[0] = np.array(values)[:, None]
    return gate


@pytest.mark.parametrize(
    ("n_rows", "n_valid", "middles"),
    [(4, 16, [0, 4, 8, 12]), (8, 16, [0, 2, 4, 6, 8, 10, 12, 14]), (4, 9, [0, 4, 8]), (4, 1, [0])],
)
def test_rows_stand_at_multiples_of_the_stride(n_rows, n_valid, middles):
    clip = made_clip({"cross": steps([0.5] * n_rows)}, n_valid)
    assert clip.middles("gcn6").tolist() == middles


@pytest.mark.parametrize(
    ("length", "n_rows", "middles"),
    # Strides 4, 4, 2: each stage halves the frames, rounded up.
    [(18, 5, [0, 4, 8, 12, 16]), (6, 2, [0, 4]), (5, 3, [0, 2, 4])],
)
def test_a_clip_need_not_be_a_multiple_of_the_stride(length, n_rows, middles):
    clip = replace(made_clip({"cross": steps([0.5] * n_rows)}, length), length=length)
    assert clip.middles("gcn6").tolist() == middles


@pytest.mark.parametrize(
    ("frame", "weight"), [(0, 0.1), (1, 0.2), (4, 0.5), (6, 0.4), (12, 0.3), (15, 0.3)]
)
def test_weights_between_rows_are_between_them(frame, weight):
    clip = made_clip({"cross": steps([0.1, 0.5, 0.3, 0.3])})
    found = interpolate_weights(clip, "gcn6", "cross", frame)
    assert found[0] == pytest.approx(np.full(18, weight))


def test_areas_grow_evenly_with_weights():
    scale = Scale(0.2, 0.6)
    assert scale.areas(np.array([0.1, 0.2, 0.4, 0.6, 0.9])) == pytest.approx([6, 6, 123, 240, 240])


def test_one_scale_holds_for_all_frames_of_the_bodies_present():
    one, two = (made_clip({"cross": steps(v)}) for v in ([0.3, 0.4], [0.5, 0.8]))
    found = Figure6.of([one, two], "gcn6")
    # The absent second body, all zeros, does not count.
    assert (found.scales["cross"].low, found.scales["cross"].high) == pytest.approx((0.3, 0.8))
    assert Figure6.of([one], "gcn6", (0, 1)).scales["cross"] == Scale(0, 1)


def test_equal_weights_are_not_blown_up():
    found = Figure6.of([made_clip({"self": steps([0.5, 0.51])})], "gcn6").scales["self"]
    assert (found.low, found.high) == pytest.approx((0.48, 0.53))


def test_rows_without_pictures_are_gates_only():
    found = Figure6.of([made_clip({"self": steps([0.5]), "combined": steps([0.5])})], "gcn6")
    assert found.rows == ["self", "combined"]


def test_places_tell_their_share_of_a_linear_score():
    attention = CrossAttention(2, 1, AttentionConfig(score="mlp1"))
    with torch.no_grad():
        attention.score.output.weight[:] = torch.tensor([[0.3, -0.7, 2.0]])
    context = torch.tensor([1.0, 2.0, 3.0, 6.0]).reshape(1, 1, 1, 2, 2)
    model = torch.nn.ModuleDict({"gcn6": attention})
    with capture_pairs(model) as pairs, torch.no_grad():
        attention(torch.randn(2, 2, 1, 5), context)
    places = fold_places(pairs["gcn6"], torch.tensor([True, True]))
    # Weight 2 times the context, less its mean 3; joints add the same to every place.
    assert places == pytest.approx(np.array([[[-4, -2], [0, 6]]]), abs=1e-5)


def test_places_follow_the_bodies_present():
    pairs = torch.zeros(1, 1, 4, 4)
    pairs[0, 0, :2] = torch.tensor([0.0, 0, 0, 4])
    pairs[0, 0, 2:] = 100 * torch.rand(2, 4)
    places = fold_places(pairs, torch.tensor([True, False]))
    assert places.tolist() == [[[-1, -1], [-1, 3]]]


@pytest.mark.parametrize("k", [1, 6])
def test_contexts_that_are_no_grid_have_no_places(k):
    assert fold_places(torch.zeros(1, 2, 4, k), torch.tensor([True, True])) is None


@pytest.mark.parametrize("score", ["dot", "mlp1", "mlp2"])
def test_the_mean_of_the_pairs_is_what_the_gate_was_made_of(score):
    attention = CrossAttention(4, 6, AttentionConfig(score=score))
    model = torch.nn.ModuleDict({"a": attention})
    with capture_pairs(model) as pairs, capture_attention(model, 2) as maps, torch.no_grad():
        attention(torch.randn(2, 4, 3, 5), torch.randn(1, 6, 3, 2, 2))
    gate = pairs["a"].mean(3).sigmoid().unflatten(2, (2, 5)).transpose(1, 2)
    assert torch.allclose(gate, maps["a"][0].cross_gate, atol=1e-6)


def test_a_sample_is_attended_to_as_it_is_evaluated(loaded, shards):
    reader = DatasetReader(shards)
    number = int(reader.subset("xsub", "test")[1])
    loader = make_loader(loaded, shards, [number], EvaluationOptions(batch_size=1, workers=0))
    with torch.no_grad(), capture_attention(loaded.model, 2) as maps:
        scores = [loaded.forward(loaded.model, batch).softmax(1) for batch in loader]
    clips = attend_sample(loaded, shards, "test1")
    assert [clip.span for clip in clips] == [(0, 8), (8, 8), (16, 4)]
    for clip, gates, score in zip(clips, maps["attention.gcn1"], scores, strict=True):
        assert clip.class_name == "eat meal"
        assert clip.probability == pytest.approx(float(score.max()))
        assert clip.modules["gcn1"].gates["cross"] == pytest.approx(gates.cross_gate[0].numpy())
        assert clip.scene.pictures.shape == (clip.span.n_valid, 32, 48, 3)
        assert clip.scene.box == (0, 8, 32, 32)
        assert clip.modules["gcn1"].places.shape == (4, 2, 2)


@pytest.mark.parametrize(
    ("sample", "clips", "sentence"),
    [("nobody", None, "has no usable sample 'nobody'"), ("test1", [3], "clips 0 to 2, no clip 3")],
)
def test_what_is_not_there_is_told(loaded, shards, sample, clips, sentence):
    with pytest.raises(TrainError, match=sentence):
        attend_sample(loaded, shards, sample, clips)


def test_a_network_without_attention_is_told(loaded, shards):
    config = loaded.config.replaced({"model.system": "concat"})
    with pytest.raises(TrainError, match="concat system, which has no attention"):
        attend_sample(replace(loaded, config=config), shards, "test1")


def test_a_skeleton_is_seen_in_another_scene(loaded, shards):
    reader = DatasetReader(shards)
    numbers = {row: i for i, row in enumerate(reader.samples["sample_id"])}
    own, other = numbers["test1"], numbers["train2"]
    pairing = EvaluationOptions(batch_size=1, workers=0, pairing={own: other})
    with torch.no_grad():
        scores = [
            loaded.forward(loaded.model, batch).softmax(1)
            for batch in make_loader(loaded, shards, [own], pairing)
        ]
    clips = attend_sample(loaded, shards, "test1", scene_id="train2")
    assert [(clip.sample_id, clip.scene_id) for clip in clips] == [("test1", "train2")] * 3
    assert [clip.probability for clip in clips] == pytest.approx([float(s.max()) for s in scores])
    # train2 has 10 frames: beside 8 poses its last clip of 2 is looped.
    theirs = reader.window(other, 8, 2).pictures()
    assert np.array_equal(clips[1].scene.pictures, theirs[[0, 1] * 4])
    assert np.array_equal(clips[1].pixels, reader.window(own, 8, 8).pixels)


def test_nobody_says_what_is_right_in_another_scene(loaded, shards, tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "draw_clip", lambda figure, clip, path: path.touch())
    monkeypatch.setattr(pictures, "write_video", lambda path, *_: path.touch())
    options = PictureOptions((0,), scene="test0")
    written = draw_sample(loaded, shards, "test1", tmp_path, options)
    assert [path.name for path in written] == [
        "test1-in-test0-clip0-gcn1.png", "test1-in-test0-gcn1.mp4"
    ]  # fmt: skip
    clip = replace(made_clip({"cross": steps([0.5])}), scene_id="b")
    assert describe_clip(clip, "gcn6") == (
        "a in the scene of b, clip 0, attention after gcn6\ntaken for jump (100%)"
    )


def test_pictures_and_video_are_drawn(loaded, shards, tmp_path):
    written = draw_sample(loaded, shards, "test1", tmp_path / "out", PictureOptions((0, 2)))
    names = ["test1-clip0-gcn1.png", "test1-clip2-gcn1.png", "test1-gcn1.mp4"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    # Four frames of the module, of which the short clip fills the first two; a legend's column.
    wide, narrow = (cv2.imread(str(path)) for path in written[:2])
    assert wide.shape[1] - narrow.shape[1] == pytest.approx(2 * 1.9 * 150, abs=2)
    assert wide.std() > 20
    with av.open(str(written[2])) as container:
        assert sum(1 for _ in container.decode(video=0)) == 8 + 4


def test_means_are_over_bodies_of_a_class():
    means = JointMeans(np.zeros((3, 2)))
    means.add(np.array([0, 0, 2]), np.array([[0.2, 0.4], [0.4, 0.8], [1, 0]]))
    means.add(np.array([0]), np.array([[0.6, 0.0]]))
    assert means.count.tolist() == [3, 0, 1]
    assert means.mean[0] == pytest.approx([0.4, 0.4])
    assert means.mean[2].tolist() == [1, 0]
    assert np.isnan(means.mean[1]).all()


def test_joint_means_leave_absent_bodies_out(loaded, shards):
    reader = DatasetReader(shards)
    numbers = reader.subset("xsub", "train")[:4]
    options = EvaluationOptions(batch_size=3, workers=0)
    found = measure_joints(loaded, make_loader(loaded, shards, numbers, options))["gcn1"]
    assert list(found) == ["self", "cross", "combined"]
    # Sample i has class i % 3, 1 + i % 2 bodies and 8 + i frames, in clips of 8.
    names = reader.samples["sample_id"].iloc[numbers].str.removeprefix("train").astype(int)
    expected = np.zeros(3, int)
    for i in names:
        expected[i % 3] += (1 + i % 2) * -(-(8 + i) // 8)
    assert found["cross"].count.tolist() == expected.tolist()


def test_stand_ins_of_unreadable_clips_do_not_count(loaded, shards):
    options = EvaluationOptions(batch_size=3, workers=0)
    batch = next(iter(make_loader(loaded, shards, [0, 1, 2], options)))
    kept = replace(batch, weight=torch.tensor([1.0, 0.0, 1.0]))
    found = measure_joints(loaded, [kept])["gcn1"]["cross"]
    assert found.count.sum() == batch.present.any(1)[[0, 2]].sum()


def test_the_heat_map_is_drawn_and_listed(loaded, shards, tmp_path):
    table, picture = draw_subset(loaded, shards, "test", tmp_path)
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert len(rows) == 3 * 3 * 25
    assert {row["gate"] for row in rows} == {"self", "cross", "combined"}
    combined = [float(row["mean"]) for row in rows if row["gate"] == "combined"]
    halves = [
        (float(a["mean"]) + float(b["mean"])) / 2
        for a, b in zip(rows[: 3 * 25], rows[3 * 25 : 6 * 25], strict=True)
    ]
    assert combined == pytest.approx(halves, abs=2e-6)
    assert picture.name == "joints-test-gcn1.png"
    assert cv2.imread(str(picture)) is not None


def test_the_command_draws_beside_the_run(run, tmp_path):
    # 8 frames, one clip.
    given = ("--sample", "train0", "--clip", 0, "--device", "cpu")
    ran = run_module("train.attention", run, *given, folder=tmp_path)
    assert ran.status == 0, ran.err
    assert ran.out.split() == [
        str(run / "attention" / name) for name in ("train0-clip0-gcn1.png", "train0-gcn1.mp4")
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "nothing to draw"),
        (("--sample", "a", "--scale", 1, 0), "a scale goes up"),
        (("--heatmap", "--scene", "a"), "--scene goes with --sample"),
    ],
)
def test_wrong_usage_is_told(run, arguments, sentence):
    ran = CliRunner().invoke(attention, [str(run), *map(str, arguments)])
    assert ran.exit_code == 2
    assert sentence in ran.output
