import pickle

import pytest
import torch

from train.batch import Clip, collate

T, V, M = 4, 5, 2


def make_clip(number, *, rgb=True, context=False):
    generator = torch.Generator().manual_seed(number)
    frames = torch.randint(256, (T, 6, 7, 3), dtype=torch.uint8, generator=generator)
    return Clip(
        joints=torch.randn(3, T, V, M, generator=generator),
        present=torch.ones(T, M, dtype=torch.bool),
        label=number % 3,
        sample=10 + number,
        clip=number,
        weight=float(number > 0),
        rgb=frames if rgb else None,
        context=torch.full((2, 1, 8), float(number)) if context else None,
    )


def test_clips_are_stacked_in_order():
    clips = [make_clip(n, context=True) for n in range(3)]
    batch = collate(clips)
    assert len(batch) == 3
    assert torch.equal(batch.joints, torch.stack([clip.joints for clip in clips]))
    assert batch.present.shape == (3, T, M)
    assert batch.context.shape == (3, 2, 1, 8)
    assert batch.sample.tolist() == [10, 11, 12]
    assert batch.clip.tolist() == [0, 1, 2]
    assert batch.label.tolist() == [0, 1, 2]
    assert batch.weight.tolist() == [0, 1, 1]
    assert batch.label.dtype == batch.sample.dtype == batch.clip.dtype == torch.int64
    assert batch.weight.dtype == torch.float32


def test_pictures_are_channels_first_by_name_and_last_in_memory():
    clips = [make_clip(n) for n in range(2)]
    rgb = collate(clips).rgb
    assert rgb.shape == (2, 3, T, 6, 7)
    assert rgb.is_contiguous(memory_format=torch.channels_last_3d)
    assert rgb[1, 2, 3, 4, 5] == clips[1].rgb[3, 4, 5, 2]


def test_what_is_not_read_is_none():
    batch = collate([make_clip(0, rgb=False)])
    assert batch.rgb is None
    assert batch.context is None


def test_moving_moves_every_tensor():
    batch = collate([make_clip(0, context=True)]).to("meta")
    assert {t.device.type for t in vars(batch).values()} == {"meta"}
    assert batch.rgb.is_contiguous(memory_format=torch.channels_last_3d)


def test_moving_passes_over_what_is_none():
    assert collate([make_clip(0, rgb=False)]).to("cpu").rgb is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="pinning needs a CUDA device")
def test_pinning_keeps_the_memory_order():
    batch = collate([make_clip(0)]).pin_memory()
    assert batch.rgb.is_pinned()
    assert batch.rgb.is_contiguous(memory_format=torch.channels_last_3d)


def test_batches_can_be_sent_between_processes():
    batch = collate([make_clip(0)])
    again = pickle.loads(pickle.dumps(batch))
    assert torch.equal(again.rgb, batch.rgb)
