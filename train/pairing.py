"""Clips whose pictures come from another sample: for counterfactuals and shuffled context."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from train.batch import Clip
from train.data import ClipSet, ClipSource, Numbers, View, draw_others
from train.data_config import DataConfig
from train.sampling import tile_spans


def shuffle_pairs(samples: Numbers, seed: int) -> dict[int, int]:
    """Give every sample the pictures of a random one: a permutation, which may leave some alone.

    What is left alone keeps pictures independent of skeletons: exactly the shuffled context of
    docs/training.md.
    """
    numbers = np.asarray(samples, np.int64)
    return dict(
        zip(
            numbers.tolist(), np.random.default_rng(seed).permutation(numbers).tolist(), strict=True
        )
    )


class PairedClips(ClipSet):
    """Every clip of every given sample as in ``EvalClips``, seen with other pictures.

    ``pairing`` maps a sample's number to that of the sample whose pictures (or stored context) it
    gets; samples it does not name keep their own.  Clip i goes with clip i of the other, from its
    first one again when it has fewer.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        samples: Numbers,
        config: DataConfig,
        pairing: Mapping[int, int],
        *,
        pictures: bool = True,
    ) -> None:
        pairs = [(int(sample), pairing.get(int(sample), int(sample))) for sample in samples]
        others = sorted({other for _, other in pairs})
        self._own = ClipSource(folder, samples, config, pictures=False)
        self._other = ClipSource(folder, others, config, pictures=pictures)
        self._place = "whole" if config.crop == "none" else "centre"
        self._clips = [clip for pair in pairs for clip in self._pair_clips(*pair)]

    def _pair_clips(self, sample: int, other: int) -> list[tuple[int, int, int, View, View]]:
        ours, theirs = self._views(sample), self._views(other)
        return [
            (sample, other, number, view, theirs[number % len(theirs)])
            for number, view in enumerate(ours)
        ]

    def _views(self, sample: int) -> list[View]:
        config, n_frames = self._own.config, int(self._own.reader.n_frames[sample])
        spans = tile_spans(n_frames, config.clip_length, config.partial)
        return [View(span, self._place) for span in spans]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> Clip:
        sample, other, number, view, other_view = self._clips[index]
        seen = self._other.read(other, other_view)
        own = self._own.read(sample, view)
        return replace(own, clip=number, rgb=seen.rgb, context=seen.context)

    def views_of(self, key: int) -> tuple[View, View]:
        """Return the views of a clip's skeleton and of its pictures."""
        *_, own, other = self._clips[key]
        return own, other

    def sample_of(self, key: Any) -> int:
        """Return the number of a clip's sample."""
        return self._clips[key][0]

    def list_others(self, key: Any) -> list[Any]:
        """Return the numbers of other clips."""
        return draw_others(key, len(self))
