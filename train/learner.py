"""The network being trained with its optimiser: gradients in, weights changed, state out."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.batch import Batch
from train.distributed import World, keep_gradients_local, spread
from train.errors import TrainError
from train.metrics import measure_batch
from train.optimiser import build_optimiser, set_rate, update_average
from train.prepare import Prepared, build_network
from train.scoring import Forward


class Learner:
    """Everything of a training that holds tensors.

    ``model`` is the plain network; its moving average ``average`` is None if it is not asked for.
    """

    def __init__(self, prepared: Prepared, world: World) -> None:
        self.config = config = prepared.config
        self.world = world
        self.model = build_network(prepared, world)
        self.average = copy.deepcopy(self.model) if config.run.ema else None
        self.optimiser = build_optimiser(self.model, config.optim)
        self.forward = Forward(world.device, config.data, config.run.amp == "bf16")
        self._spread = spread(self.model, world)
        self._trained = _compile(self._spread, config.run.compile)
        # Dropout differs between ranks; a checkpoint holds all their generators.
        torch.manual_seed(config.run.seed * 1_000_003 + 1 + world.rank)

    @property
    def judged(self) -> nn.Module:
        """The network to validate: the moving average where there is one."""
        return self.model if self.average is None else self.average

    def backward(self, batch: Batch, n_clips: float, *, is_last: bool) -> Tensor:
        """Add a batch to the gradient of a step of ``n_clips`` real clips over all ranks.

        Returns :func:`~train.metrics.measure_batch` of this rank.  Ranks exchange gradients only
        at the last batch of a step.
        """
        self.model.train()
        labels = batch.label.to(self.world.device, non_blocking=True)
        weights = batch.weight.to(self.world.device, non_blocking=True)
        with self.explain_memory(), keep_gradients_local(self._spread, local=not is_last):
            logits = self.forward(self._trained, batch)
            losses = self._losses(logits, labels)
            # DDP averages over ranks: times their number it is the mean over all real clips.
            ((losses * weights).sum() * (self.world.size / n_clips)).backward()
        return measure_batch(logits, labels, weights, losses)

    def _losses(self, logits: Tensor, labels: Tensor) -> Tensor:
        smoothing = self.config.optim.label_smoothing
        return F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)

    def update(self, rate: float) -> None:
        """Change the weights along the gradient."""
        if self.config.optim.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.config.optim.clip)
        set_rate(self.optimiser, rate)
        # The first step makes room for the momentum.
        with self.explain_memory():
            self.optimiser.step()
        self.optimiser.zero_grad()
        if self.average is not None:
            update_average(self.average, self.model, self.config.run.ema)

    def state(self) -> dict[str, Any]:
        """Return the state to save, by the names of ``Checkpoint``'s fields."""
        return {
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "ema": None if self.average is None else self.average.state_dict(),
        }

    def load(
        self,
        model: dict[str, Tensor],
        optimiser: dict[str, Any],
        ema: dict[str, Tensor] | None,
    ) -> None:
        """Undo :meth:`state`."""
        self.model.load_state_dict(model)
        self.optimiser.load_state_dict(optimiser)
        if self.average is not None and ema is not None:
            self.average.load_state_dict(ema)

    @contextmanager
    def explain_memory(self) -> Iterator[None]:
        """Turn a device that is out of memory into a ``TrainError`` that says what to change."""
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise TrainError(self._advise_memory()) from error

    def _advise_memory(self) -> str:
        run = self.config.run
        advice = []
        if run.batch_size > 1:
            half = -(-run.batch_size // 2)
            advice.append(
                f"use --batch-size {half} --set run.accumulate={2 * run.accumulate} (the same"
                " step in smaller parts)"
            )
        if run.amp == "off":
            advice.append("add --amp")
        return (
            f"{self.world.device} is out of memory with batches of {run.batch_size} clips;"
            f" {' or '.join(advice) or 'make the model or the pictures smaller'}"
        )


def _compile(model: nn.Module, mode: str) -> nn.Module:
    """Return what trains; the plain network stays for validation and saving."""
    return model if mode == "off" else torch.compile(model, mode=mode)  # type: ignore[return-value]
