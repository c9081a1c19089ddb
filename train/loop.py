"""The training loop: epochs of steps, each resumable, then validation."""

import math
import signal
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from train.checkpoint import (
    Checkpoint,
    check_same_run,
    prune_checkpoints,
    read_latest,
    set_damaged_aside,
    write_checkpoint,
)
from train.clock import Clock
from train.distributed import (
    World,
    gather_over_ranks,
    share_buffers,
    sum_over_ranks,
    wait_for_ranks,
)
from train.errors import CheckpointError, DivergedError, Interrupted
from train.files import RunFolder
from train.learner import Learner
from train.metrics import N_COLUMNS, Tally
from train.prepare import Prepared, keep_pictures, make_loaders
from train.progress import Progress
from train.recorder import Recorder
from train.schedule import rate_factor
from train.scoring import score_samples, tally_scores
from train.signals import StopWish

# A guess among K classes costs ln K; a loss of a hundred times that will not come back.
EXPLODED = 100.0


class Trainer:
    """A training: position, metrics and the loop around a :class:`Learner`.

    Every rank makes one and calls the same methods; rank 0 alone writes to ``folder``.
    """

    def __init__(
        self, prepared: Prepared, world: World, folder: RunFolder, stop: StopWish | None = None
    ) -> None:
        self.prepared, self.world, self.folder = prepared, world, folder
        self.config = prepared.config
        self.stop = stop or StopWish()
        self.learner = Learner(prepared, world)
        self.loader, self.sampler, self.validation = make_loaders(prepared, world)
        self.n_steps = prepared.steps_per_epoch(world)
        self.progress = Progress()
        self.recorder = Recorder(None, self.progress, self.n_steps)
        self._clock = Clock()
        self._pending: list[Tensor] = []

    @property
    def global_step(self) -> int:
        """Steps done over the whole run."""
        return self.progress.epoch * self.n_steps + self.progress.step

    def resume(self) -> bool:
        """Go on from the latest readable checkpoint of the folder; False if there is none.

        Raises ``CheckpointError`` if all are damaged, or if it belongs to another run.
        """
        found = read_latest(self.folder)
        self._check_same_state(found[1] if found else None)
        if found is None:
            return False
        path, saved = found
        check_same_run(saved, self.config, self.prepared.data, self.world.size)
        if self.world.is_main:
            set_damaged_aside(self.folder, path)
        self.learner.load(saved.model, saved.optimiser, saved.ema)
        self.progress = Progress.from_dict(saved.progress)
        if self.world.is_main and path == self.folder.best:
            write_checkpoint(self._step_file(), saved)
        # Copies: torch reads a generator's state from the beginning of its storage.
        torch.set_rng_state(saved.rng[self.world.rank].clone())
        if self.world.device.type == "cuda" and saved.device_rng.shape[1]:
            state = saved.device_rng[self.world.rank].clone()
            torch.cuda.set_rng_state(state, self.world.device)
        return True

    def _check_same_state(self, saved: Checkpoint | None) -> None:
        """Raise ``CheckpointError`` unless all ranks found the same state; they wait here."""
        place = [saved.progress["epoch"], saved.progress["step"]] if saved else [-1, -1]
        places = gather_over_ranks(torch.tensor(place), self.world)
        if not bool((places == places[0]).all()):
            told = ", ".join(f"epoch {epoch} step {step}" for epoch, step in places.tolist())
            raise CheckpointError(
                f"the ranks find different checkpoints in {self.folder.path} ({told}): the run"
                " folder must lie on a disk that all machines share"
            )

    def keep_pictures(self) -> None:
        """Decode all pictures where the settings ask for it and an epoch is left; before ``run``.

        Raises ``TrainError`` where they do not fit, ``Interrupted`` when a signal came.
        """
        if self.config.run.cache == "off" or self.progress.epoch == self.config.optim.epochs:
            return
        cache = keep_pictures(self.prepared, self.world, self.stop)
        self.loader, self.sampler, self.validation = make_loaders(self.prepared, self.world, cache)

    def run(self) -> Progress:
        """Train to the end; raises ``Interrupted`` after saving when a signal came."""
        folder = self.folder if self.world.is_main else None
        tensorboard = self.config.run.tensorboard
        self.recorder = Recorder(folder, self.progress, self.n_steps, tensorboard=tensorboard)
        try:
            while self.progress.epoch < self.config.optim.epochs:
                if self.progress.step < self.n_steps:
                    self._train_epoch()
                self._finish_epoch()
        finally:
            self.recorder.close()
        return self.progress

    def _train_epoch(self) -> None:
        progress, accumulate = self.progress, self.config.run.accumulate
        first = progress.step * accumulate
        self.sampler.set_epoch(progress.epoch, first)
        self.recorder.open_epoch(
            progress.epoch, self.config.optim.epochs, progress.step, self.n_steps
        )
        self._clock.lap()
        sums = self._no_sums()
        for number, batch in enumerate(self._clock.watch(self.loader), first + 1):
            is_last = number % accumulate == 0 or number == self.sampler.n_steps
            n_clips = self._count_clips(progress.step)
            sums += self.learner.backward(batch, n_clips, is_last=is_last)
            if is_last:
                self.learner.update(self._rate(self.global_step))
                self._finish_step(sums)
                sums = self._no_sums()
        self.recorder.close_epoch()

    def _no_sums(self) -> Tensor:
        return torch.zeros(N_COLUMNS, device=self.world.device)

    def _count_clips(self, step: int) -> int:
        """Return how many real clips all ranks train on in a step of an epoch; no padding."""
        size, n_samples = self.prepared.clips_per_step(self.world), len(self.sampler.samples)
        return min((step + 1) * size, n_samples) - step * size

    def _rate(self, global_step: int) -> float:
        factor = rate_factor(self.config.optim, global_step, self.n_steps)
        return self.prepared.peak_rate(self.world) * factor

    def _finish_step(self, sums: Tensor) -> None:
        """Count the step; log, save and stop where it is time."""
        run, progress = self.config.run, self.progress
        self._pending.append(sums)
        progress.step += 1
        self.recorder.advance()
        must_log = self.global_step % run.log_every == 0
        must_save = run.checkpoint_every > 0 and self.global_step % run.checkpoint_every == 0
        # Ranks agree to stop only where they meet anyway.
        must_stop = self.world.size == 1 and self.stop.signal_number > 0
        if must_log or must_save or must_stop or progress.step == self.n_steps:
            must_stop = self._collect()
        if must_log:
            self._log_window()
        if must_stop:
            self._interrupt()
        elif must_save:
            self._save(self._step_file())

    def _collect(self) -> bool:
        """Add the steps since the last call to the tallies; say whether a rank wants to stop.

        Here a GPU is waited for.  Raises ``DivergedError`` on every rank alike.
        """
        wish = torch.full_like(self._no_sums(), self.stop.signal_number)
        rows = sum_over_ranks(torch.stack([*self._pending, wish]).double(), self.world).tolist()
        first = self.progress.step - len(self._pending)
        self._pending.clear()
        tallies = self.progress.epoch_tally, self.progress.window_tally
        for step, row in enumerate(rows[:-1], first):
            self._check_loss(row, self.progress.epoch * self.n_steps + step)
            for tally in tallies:
                tally.add(row, self._count_clips(step))
        lap = self._clock.lap()
        for tally in tallies:
            tally.spend(*lap)
        self.progress.seconds += lap[0]
        return any(rows[-1])

    def _check_loss(self, row: list[float], global_step: int) -> None:
        loss = row[1] / max(row[0], 1.0)
        worst = EXPLODED * max(math.log(self.prepared.n_classes), 1.0)
        if math.isfinite(loss) and loss < worst:
            return
        raise DivergedError(
            f"step {global_step + 1} (epoch {global_step // self.n_steps + 1}): the loss is"
            f" {loss:.4g} at learning rate {self._rate(global_step):.4g}; lower --lr, or set"
            " optim.warmup_epochs=5 or optim.clip=1 (earlier checkpoints are intact)"
        )

    def _log_window(self) -> None:
        # Where no clip at all could be read there is nothing to tell but the warnings.
        if self.progress.window_tally.weight:
            self.recorder.write_step(self._record(self.progress.window_tally))
        self.progress.window_tally = Tally()

    def _record(self, tally: Tally) -> dict[str, Any]:
        speed = tally.speed()
        n_samples, progress = len(self.sampler.samples), self.progress
        now = progress.epoch_tally
        done = n_samples * progress.epoch + now.weight + now.skipped
        left = n_samples * self.config.optim.epochs - done
        return {
            "epoch": progress.epoch + 1,
            "step": self.global_step,
            "lr": self._rate(self.global_step - 1),
            **tally.means(),
            **({"skipped": tally.skipped} if self.config.run.skip_bad else {}),
            **speed,
            "eta_s": left / speed["clips_per_s"],
        }

    def _finish_epoch(self) -> None:
        """Validate where it is time, record the epoch and save."""
        optim, progress = self.config.optim, self.progress
        record = self._record(progress.epoch_tally)
        epoch = progress.epoch + 1
        is_due = epoch % self.config.run.validate_every == 0 or epoch == optim.epochs
        if is_due and len(self.prepared.subsets.validation):
            record |= {f"val_{name}": value for name, value in self._validate().items()}
        is_best = progress.finish_epoch(record)
        self.recorder.write_epoch(record, optim.epochs)
        # The best first: after a kill between the two, the end of the epoch is done again.
        self._save(*([self.folder.best] if is_best else []), self._step_file())

    def _validate(self) -> dict[str, float]:
        share_buffers(self.learner.judged, self.world)
        with self.learner.explain_memory():
            scored = score_samples(
                self.learner.forward,
                self.learner.judged,
                self.validation,
                stopped=lambda: self.stop.signal_number > 0,
            )
        tally = tally_scores(scored, self.world)
        wish = torch.tensor([self.stop.signal_number])
        if sum_over_ranks(wish, self.world).item() > 0:
            self._interrupt()
        skipped = {"skipped": tally.skipped} if self.config.run.skip_bad else {}
        return tally.means() | skipped

    def _step_file(self) -> Path:
        return self.folder.checkpoints / f"step-{self.global_step:09d}.pt"

    def _save(self, *paths: Path) -> None:
        """Write the state; every rank must call this at the same step."""
        on_gpu = self.world.device.type == "cuda"
        none = torch.empty(0, dtype=torch.uint8)
        device_rng = torch.cuda.get_rng_state(self.world.device) if on_gpu else none
        checkpoint = Checkpoint(
            config=self.config.to_dict(),
            data=self.prepared.data.to_dict(),
            progress=self.progress.to_dict(),
            rng=gather_over_ranks(torch.get_rng_state(), self.world),
            device_rng=gather_over_ranks(device_rng, self.world),
            **self.learner.state(),
        )
        if self.world.is_main:
            for path in paths:
                write_checkpoint(path, checkpoint)
            prune_checkpoints(self.folder, self.config.run.keep_last)
        # A rank that ends early takes the others with it.
        wait_for_ranks(self.world)
        self._clock.lap()

    def _interrupt(self) -> None:
        self._save(self._step_file())
        raise Interrupted(self.stop.signal_number or signal.SIGTERM)
