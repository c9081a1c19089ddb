"""Shards in, clips out: which samples a run uses, random windows to train on, tiles to test on."""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from toolkit.shards import DatasetReader, ShardError, Window, decode_picture
from toolkit.shards.sidecar import shard_path
from train import augment, sampling, transforms
from train.augment import UNCHANGED, Augmentation
from train.batch import Clip
from train.context_file import ContextFile
from train.data_config import DataConfig
from train.picture_cache import PictureCache
from train.sampling import Key, Span

# So many others are tried in place of one that cannot be read.
N_TRIES = 16
# Branches of a clip's random stream: switching one on changes no other's draws.
_CHANGES, _NOISE = 0, 1

Numbers = Sequence[int] | NDArray[np.integer]


@dataclass(frozen=True)
class View:
    """All decisions about one clip; the rest is reading and arithmetic.

    ``place`` is one of ``transforms.PLACES`` or ``whole``, ``scale`` the crop's side.
    """

    span: Span
    place: str = "centre"
    scale: float = 1.0
    mirror: bool = False
    changes: Augmentation = UNCHANGED


def draw_view(n_frames: int, config: DataConfig, rng: np.random.Generator) -> View:
    """Decide on a training clip; draws are the same whether or not pictures are read."""
    span = sampling.draw_span(n_frames, config.clip_length, config.window, rng)
    place = transforms.PLACES[rng.integers(len(transforms.PLACES))]
    scale = config.crop_scales[rng.integers(len(config.crop_scales))]
    mirror = bool(rng.integers(2)) and config.flip != "none"
    fixed = {"corners": place, "centre": "centre", "none": "whole"}
    # Of a stream of their own: switching them on moves no window and no crop.
    changes = UNCHANGED
    if config.brightness or config.contrast or config.drop_second:
        changes = augment.draw_augmentation(config, sampling.branch_rng(rng, _CHANGES))
    return View(span, fixed[config.crop], scale, mirror, changes)


def stores_pictures(reader: DatasetReader, samples: NDArray[np.int64]) -> bool:
    """Say whether the first readable one of a few samples has pictures.

    True if none is readable: what is wrong with them is told where they are used.
    """
    with reader:
        for sample in samples[:: len(samples) // N_TRIES + 1].tolist():
            with suppress(ShardError, IndexError):
                return bool(reader.window(sample, 0, 1).frames)
    return True


class ClipSource:
    """Reads clips of a data set folder as a config says; may be pickled to workers.

    ``pictures=False`` leaves the stored frames undecoded, for systems that do not see them.  What
    a ``cache`` holds is taken from there.  Raises ``ShardError`` if pictures are wanted and none
    are stored.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        samples: Numbers,
        config: DataConfig,
        *,
        pictures: bool = True,
    ) -> None:
        self.reader = DatasetReader(folder)
        self.samples = _check_samples(samples, self.reader)
        self.config = config
        self.pictures = pictures and config.context_file is None
        self.cache: PictureCache | None = None
        self._context: ContextFile | None = None
        if config.context_file is not None:
            self._context = ContextFile(config.context_file, self.reader, self.samples.tolist())
        if self.pictures and not stores_pictures(self.reader, self.samples):
            folder, found = self.reader.folder, "a skeleton-only data set"
            raise ShardError(folder, "shards", expected="stored pictures", found=found)

    def read(self, sample: int, view: View, rng: np.random.Generator | None = None) -> Clip:
        """Return one clip, its ``clip`` and ``weight`` at their defaults.

        ``rng`` is for ``random_move`` and ``joint_noise``, None in testing.  Raises ``ShardError``
        naming file and sample when what is stored cannot be read.
        """
        try:
            window = self.reader.window(sample, *view.span)
            if view.changes.drops_second:
                window = augment.remove_second(window)
            rgb = self._frames(sample, window, view) if self.pictures else None
            if not np.isfinite(window.joints).all():
                raise ValueError("joints that are no finite numbers")
            context = self._read_context(sample, view.span)
        # A shard damaged since it was planned may have fewer frames than the manifest says.
        except (ShardError, ValueError, IndexError, OSError) as error:
            raise self._explain(sample, error) from error
        return Clip(
            joints=self._joints(window, view, rng),
            present=self._extend(torch.from_numpy(window.present != 0)),
            rgb=rgb,
            context=context,
            label=int(self.reader.labels[sample]),
            sample=sample,
        )

    def _joints(self, window: Window, view: View, rng: np.random.Generator | None) -> torch.Tensor:
        config, layout = self.config, self.reader.info.layout
        seen = transforms.find_seen(
            window.joints, window.present, layout, zero_score=config.zero_score
        )
        joints = transforms.normalise_joints(
            window.joints, seen, layout, centre_joint=config.centre_joint
        )
        if config.random_move and rng is not None:
            joints = transforms.move_joints(joints, seen, rng)
        if config.joint_noise and rng is not None:
            noise_rng = sampling.branch_rng(rng, _NOISE)
            joints = augment.add_noise(joints, seen, layout, config.joint_noise, noise_rng)
        if view.mirror and config.flip == "both":
            joints = transforms.mirror_joints(joints, layout)
        # The disk is time first, the network is channels first: (T, M, V, C) to (C, T, V, M).
        return self._extend(torch.from_numpy(joints)).permute(3, 0, 2, 1).contiguous()

    def _frames(self, sample: int, window: Window, view: View) -> torch.Tensor:
        kept = None if self.cache is None else self.cache.read(sample, *view.span)
        pictures = [decode_picture(frame) for frame in window.frames] if kept is None else kept
        if len({picture.shape for picture in pictures}) > 1:
            raise ValueError("frames of several sizes")
        height, width, _ = pictures[0].shape
        box = transforms.place_box(height, width, view.place, view.scale)
        frames = transforms.cut_frames(pictures, box, self.config.frame_size)
        if view.mirror:
            frames = transforms.mirror_frames(frames)
        frames = augment.change_light(frames, view.changes)
        # What normalisation takes to zero, as near as whole numbers come.
        return self._extend(frames, [round(mean) for mean in self.config.rgb_mean])

    def _read_context(self, sample: int, span: Span) -> torch.Tensor | None:
        if self._context is None:
            return None
        places = self._context.places(self.config.clip_length)
        order = sampling.loop_order(span.n_valid, self.config.clip_length)
        rows = self._context.read(sample, span.start + order[places])
        if self.config.short == "zero":
            rows[places >= span.n_valid] = 0
        return torch.from_numpy(rows)

    def _extend(self, frames: torch.Tensor, fill: Sequence[int] = (0,)) -> torch.Tensor:
        """Bring the frames of a short clip, (n, ...), to the clip's length (O2)."""
        n, T = len(frames), self.config.clip_length
        if n == T:
            return frames
        out = frames[torch.from_numpy(sampling.loop_order(n, T))]
        if self.config.short == "zero":
            out[n:] = torch.tensor(fill).to(out.dtype)
        return out

    def _explain(self, sample: int, error: Exception) -> ShardError:
        row = self.reader.samples.iloc[sample]
        path, place = (
            shard_path(self.reader.folder, int(row["shard"])),
            f"sample {row['sample_id']}",
        )
        if isinstance(error, ShardError):
            # A group of frames names its sample itself.
            known = error.place.startswith(f"{place}:")
            place = error.place if known else f"{place}, {error.place}"
            return ShardError(error.path, place, expected=error.expected, found=error.found)
        return ShardError(path, place, expected="whole frames of one size", found=str(error))


def _check_samples(samples: Numbers, reader: DatasetReader) -> NDArray[np.int64]:
    numbers = np.asarray(samples, np.int64)
    if numbers.size and (numbers.min() < 0 or numbers.max() >= len(reader)):
        raise ValueError(
            f"{reader.folder} has usable samples 0 to {len(reader) - 1},"
            f" got {numbers.min()} to {numbers.max()}"
        )
    return numbers


class ClipSet(Dataset[Clip], ABC):
    """Clips by keys, of which each belongs to a sample and may be stood in for by others."""

    @abstractmethod
    def sample_of(self, key: Any) -> int:
        """Return the number of a key's sample."""

    @abstractmethod
    def list_others(self, key: Any) -> list[Any]:
        """Return a few keys to try when this one cannot be read; a function of the key alone."""


class TrainClips(ClipSet):
    """One random window of a sample for each key; a function of seed, epoch and sample alone.

    ``samples`` are numbers in the ``DatasetReader``; keys come from an ``EpochSampler`` over them.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        samples: Numbers,
        config: DataConfig,
        seed: int,
        *,
        pictures: bool = True,
    ) -> None:
        self.source = ClipSource(folder, samples, config, pictures=pictures)
        self.seed = seed

    @property
    def samples(self) -> NDArray[np.int64]:
        """Numbers of the samples."""
        return self.source.samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: Key | tuple[Any, ...]) -> Clip:
        epoch, sample, weight = Key(*key)
        rng = sampling.item_rng(self.seed, epoch, sample)
        view = draw_view(int(self.source.reader.n_frames[sample]), self.source.config, rng)
        clip = self.source.read(sample, view, rng)
        return replace(clip, weight=weight)

    def sample_of(self, key: Any) -> int:
        """Return the number of a key's sample."""
        return Key(*key).sample

    def list_others(self, key: Any) -> list[Any]:
        """Return keys of other samples in the same epoch, at random."""
        epoch, sample, _ = Key(*key)
        others = sampling.item_rng(self.seed, epoch, sample).choice(self.samples, N_TRIES)
        return [Key(epoch, other, 0.0) for other in others.tolist()]


class EvalClips(ClipSet):
    """Every clip of every given sample, sample by sample, centre crop, nothing random."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        samples: Numbers,
        config: DataConfig,
        *,
        pictures: bool = True,
    ) -> None:
        self.source = ClipSource(folder, samples, config, pictures=pictures)
        self._clips = [
            (int(sample), number, span)
            for sample in self.source.samples
            for number, span in enumerate(self._tile(int(sample)))
        ]

    def _tile(self, sample: int) -> list[Span]:
        config, n_frames = self.source.config, int(self.source.reader.n_frames[sample])
        return sampling.tile_spans(n_frames, config.clip_length, config.partial)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Clip:
        sample, number, span = self._clips[index]
        place = "whole" if self.source.config.crop == "none" else "centre"
        return replace(self.source.read(sample, View(span, place)), clip=number)

    def sample_of(self, key: Any) -> int:
        """Return the number of a clip's sample."""
        return self._clips[key][0]

    def list_others(self, key: Any) -> list[Any]:
        """Return the numbers of other clips."""
        return draw_others(key, len(self))


def draw_others(index: int, n: int) -> list[int]:
    """Return a few of ``n`` numbers at random, the same for the same index."""
    return np.random.default_rng(index).integers(n, size=N_TRIES).tolist()
