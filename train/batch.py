"""One clip, and many of them as the tensors of a training step.

Axes: N clips, C channels, T frames, V joints, M bodies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.utils.data import default_collate


@dataclass(frozen=True)
class Clip:
    """One item of a data set, before batching.

    ``joints`` float32 (C, T, V, M), ``present`` bool (T, M), ``rgb`` uint8 (T, H, W, 3) or None,
    ``context`` float32 (T', k, m) or None; ``sample`` is its number in the ``DatasetReader``,
    ``clip`` its number within the sample (-1 for a random window), ``weight`` 0 for padding.
    """

    joints: Tensor
    present: Tensor
    label: int
    sample: int
    clip: int = -1
    weight: float = 1.0
    rgb: Tensor | None = None
    context: Tensor | None = None


@dataclass(frozen=True)
class Batch:
    """Clips stacked: the fields of :class:`Clip` with N in front.

    ``joints`` float32 (N, C, T, V, M), ``present`` bool (N, T, M), ``rgb`` uint8 (N, 3, T, H, W)
    not yet normalised and channels last in memory, ``context`` float32 (N, T', k, m); ``label``,
    ``sample`` and ``clip`` int64 (N,), ``weight`` float32 (N,).
    """

    joints: Tensor
    present: Tensor
    label: Tensor
    sample: Tensor
    clip: Tensor
    weight: Tensor
    rgb: Tensor | None = None
    context: Tensor | None = None

    def __len__(self) -> int:
        return len(self.label)

    def to(self, device: torch.device | str) -> "Batch":
        """Copy to a device, without waiting where the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Copy to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        tensors = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{k: change(t) for k, t in tensors.items() if t is not None})


def collate(clips: Sequence[Clip]) -> Batch:
    """Stack clips; in a worker the stack is built in shared memory, so it is copied once."""
    rgb = _stack([clip.rgb for clip in clips])
    return Batch(
        joints=default_collate([clip.joints for clip in clips]),
        present=default_collate([clip.present for clip in clips]),
        label=torch.tensor([clip.label for clip in clips]),
        sample=torch.tensor([clip.sample for clip in clips]),
        clip=torch.tensor([clip.clip for clip in clips]),
        weight=torch.tensor([clip.weight for clip in clips], dtype=torch.float32),
        # Frames stay as decoded; only the axes are named in the network's order.
        rgb=None if rgb is None else rgb.permute(0, 4, 1, 2, 3),
        context=_stack([clip.context for clip in clips]),
    )


def _stack(tensors: Sequence[Tensor | None]) -> Tensor | None:
    given = [tensor for tensor in tensors if tensor is not None]
    return default_collate(given) if given else None
