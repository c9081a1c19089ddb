"""What the attention of a trained network says of single clips, beside what it was shown."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.shards import BODIES, DatasetReader, SkeletonLayout, Window
from train.batch import Batch, collate
from train.data import View
from train.errors import TrainError
from train.models import AttentionMaps, CrossAttention, capture_attention
from train.models.scores import Score
from train.pairing import PairedClips
from train.sampling import Span, loop_order
from train.saved_run import SavedRun
from train.transforms import Box, place_box

# Names of the gates in files and pictures, and the fields that hold them.
GATES = {"self": "self_gate", "cross": "cross_gate", "combined": "combined"}


@dataclass(frozen=True)
class ModuleAttention:
    """What one attention module said of one clip; it sees T' frames, a stride apart.

    ``gates`` maps self, cross and combined, those there are, to float32 (M, T', V) in (0, 1).
    ``places`` float32 (T', rows, columns): how much more than the mean place each one added to the
    score before the sigmoid, averaged over the joints present; None without such places.
    """

    gates: dict[str, NDArray[np.float32]]
    places: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Scene:
    """Stored pictures uint8 (n, H, W, 3) of a clip, and the part of them that the network saw."""

    pictures: NDArray[np.uint8]
    box: Box


@dataclass(frozen=True)
class ClipAttention:
    """One clip as it was shown to the network, its answer, and what each module said of it.

    ``pixels`` (n, M, V, 2) are fractions of the picture, ``present`` bool (n, M); ``scene`` is None
    in a skeleton-only data set.  ``modules`` are named by the units that they follow.
    ``scene_id`` is the sample that the pictures are of: its own, or another in whose scene it was
    put.
    """

    sample_id: str
    scene_id: str
    number: int
    span: Span
    length: int
    class_name: str
    predicted: str
    probability: float
    layout: SkeletonLayout
    pixels: NDArray[np.float32]
    present: NDArray[np.bool_]
    scene: Scene | None
    modules: dict[str, ModuleAttention]

    def middles(self, module: str) -> NDArray[np.int64]:
        """Return the picture in the middle of what each of a module's T' frames sees, (T',).

        Strided convolutions with equal padding stand at multiples of their stride.  Frames that
        stand on a looped picture of a short clip are left out.
        """
        n_frames = next(iter(self.modules[module].gates.values())).shape[1]
        stride = 1
        # Each stage but the first halves the frames, rounded up.
        while -(-self.length // stride) > n_frames:
            stride *= 2
        middles = np.arange(n_frames) * stride
        return middles[middles < self.span.n_valid]


def find_sample(reader: DatasetReader, sample_id: str) -> int:
    """Return the number of a usable sample; raises ``TrainError`` where there is none."""
    found = np.flatnonzero(reader.samples["sample_id"].astype(str) == sample_id)
    if not len(found):
        raise TrainError(
            f"{reader.folder} has no usable sample {sample_id!r}; ctxtool inspect"
            f" {reader.folder} --csv FILE lists them"
        )
    return int(found[0])


def check_attention(loaded: SavedRun) -> None:
    """Raise ``TrainError`` for a network without attention modules."""
    if not loaded.config.model.has_attention:
        raise TrainError(
            f"{loaded.folder.path} holds a network of the {loaded.config.model.system} system,"
            " which has no attention to look at; choose a run of cross-attention or self-attention"
        )


def attend_sample(
    loaded: SavedRun,
    dataset: Path,
    sample_id: str,
    clips: Sequence[int] | None = None,
    scene_id: str | None = None,
) -> list[ClipAttention]:
    """Run the test clips of a sample, or those numbered ``clips``, and keep what was attended to.

    With ``scene_id`` the network is shown the pictures of that sample in place of its own.
    Raises ``TrainError`` for a network without attention, an unknown sample or clip.
    """
    check_attention(loaded)
    reader, model = loaded.open_dataset(dataset), loaded.config.model
    number = find_sample(reader, sample_id)
    scene = number if scene_id is None else find_sample(reader, scene_id)
    paired = PairedClips(
        dataset, [number], loaded.config.data, {number: scene}, pictures=model.has_rgb_branch
    )
    wanted = range(len(paired)) if clips is None else clips
    outside = [clip for clip in wanted if not 0 <= clip < len(paired)]
    if outside:
        raise TrainError(
            f"sample {sample_id} has the clips 0 to {len(paired) - 1}, no clip {outside[0]}"
        )
    with reader:
        return [_attend_clip(loaded, reader, paired, (number, scene, clip)) for clip in wanted]


def _attend_clip(
    loaded: SavedRun, reader: DatasetReader, paired: PairedClips, which: tuple[int, int, int]
) -> ClipAttention:
    number, scene, clip = which
    scores, modules = attend_batch(loaded, collate([paired[clip]]))
    view, seen = paired.views_of(clip)
    window = reader.window(number, *view.span)
    label = int(scores[0].argmax())
    names = reader.samples["sample_id"]
    return ClipAttention(
        sample_id=str(names.iloc[number]),
        scene_id=str(names.iloc[scene]),
        number=clip,
        span=view.span,
        length=loaded.config.data.clip_length,
        class_name=loaded.data.class_names[int(reader.labels[number])],
        predicted=loaded.data.class_names[label],
        probability=float(scores[0, label]),
        layout=loaded.data.layout,
        pixels=window.pixels,
        present=window.present != 0,
        scene=_show_scene(reader.window(scene, *seen.span), seen, len(window)),
        modules=modules,
    )


def _show_scene(window: Window, view: View, n_frames: int) -> Scene | None:
    """Return the pictures that were shown beside ``n_frames`` poses, looped like those."""
    if not window.frames:
        return None
    pictures = window.pictures()[loop_order(len(window), n_frames)]
    return Scene(pictures, place_box(pictures.shape[1], pictures.shape[2], view.place))


def attend_batch(loaded: SavedRun, batch: Batch) -> tuple[Tensor, dict[str, ModuleAttention]]:
    """Return the probabilities (1, K) of a batch of one clip, and what each module said of it."""
    with (
        torch.inference_mode(),
        capture_attention(loaded.model, BODIES) as maps,
        capture_pairs(loaded.model) as pairs,
    ):
        scores = loaded.forward(loaded.model, batch).softmax(1).cpu()
    present = batch.present[0].any(0)
    modules = {
        name: ModuleAttention(_gates_of(gates), fold_places(pairs.get(name), present))
        for name, (gates,) in maps.items()
    }
    return scores, {name.rpartition(".")[2]: module for name, module in modules.items()}


def _gates_of(maps: AttentionMaps) -> dict[str, NDArray[np.float32]]:
    found = {name: getattr(maps, field) for name, field in GATES.items()}
    return {name: gate[0].cpu().numpy() for name, gate in found.items() if gate is not None}


@contextmanager
def capture_pairs(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Collect the scores of every pair (B, T, R, k), by the name of the module that computed them.

    One frame at a time: concatenated pairs of a whole clip would be hundreds of megabytes.
    """
    found: dict[str, Tensor] = {}

    def keep(name: str, score: Score, inputs: tuple[Tensor, Tensor]) -> None:
        frames = zip(inputs[0].split(1, 2), inputs[1].split(1, 2), strict=True)
        found[name] = torch.cat([score.pairwise(v, a) for v, a in frames], 1).float().cpu()

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(module, CrossAttention) and module.score is not None:
                hook = lambda score, inputs, name=name: keep(name, score, inputs)  # noqa: E731
                hooks.callback(module.score.register_forward_pre_hook(hook).remove)
        yield found


def fold_places(pairs: Tensor | None, present: Tensor) -> NDArray[np.float32] | None:
    """Return how far each place's score lies above the mean, (T', side, side), of one clip."""
    if pairs is None:
        return None
    k = pairs.shape[3]
    side = round(k**0.5)
    if k == 1 or side * side != k:
        return None
    # Rows are the joints of one body after those of the other.
    by_body = pairs[0].unflatten(1, (len(present), -1))
    seen = by_body[:, present] if present.any() else by_body
    score = seen.mean((1, 2))
    return (score - score.mean(1, keepdim=True)).unflatten(1, (side, side)).numpy()
