"""What a training tells while it runs: a progress bar, ``metrics.jsonl`` and TensorBoard."""

import json
import logging
import sys
from typing import Any

from tqdm import tqdm

from train.files import RunFolder, write_text
from train.progress import Progress

log = logging.getLogger(__name__)


class Recorder:
    """Writes records to a run folder and shows them; with ``folder`` None it does nothing.

    Open it with what was done before: records of steps that a kill has undone are dropped.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        progress: Progress,
        n_steps: int,
        *,
        tensorboard: bool = False,
    ) -> None:
        self.folder = folder
        done = progress.epoch * n_steps + progress.step
        self._bar: Any = None
        self._events: Any = None
        if folder is None:
            return
        _drop_undone(folder, progress, done)
        if tensorboard:
            from torch.utils.tensorboard import SummaryWriter

            self._events = SummaryWriter(folder.tensorboard, purge_step=done + 1)

    def open_epoch(self, epoch: int, n_epochs: int, done: int, n_steps: int) -> None:
        """Begin the bar of an epoch; silent where standard error is no terminal."""
        self.close_epoch()
        if self.folder is not None:
            self._bar = tqdm(
                total=n_steps,
                initial=done,
                desc=f"epoch {epoch + 1}/{n_epochs}",
                unit="step",
                disable=not sys.stderr.isatty(),
                leave=False,
            )

    def advance(self) -> None:
        """Move the bar by one step."""
        if self._bar is not None:
            self._bar.update()

    def close_epoch(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def write_step(self, record: dict[str, Any]) -> None:
        """Record some steps and show them beside the bar."""
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {record['loss']:.3f}, {record['clips_per_s']:.0f} clips/s,"
                f" {record['data_wait']:.0%} waiting for data, {_format_s(record['eta_s'])} to go"
            )
        self._write("step", record)

    def write_epoch(self, record: dict[str, Any], n_epochs: int) -> None:
        """Record an epoch and say so in one line."""
        self._write("epoch", record)
        if self.folder is None:
            return
        validated = (
            f", validation loss {record['val_loss']:.4f}, top-1 {record['val_top1']:.2%}"
            if "val_top1" in record
            else ""
        )
        skipped = record.get("skipped", 0) + record.get("val_skipped", 0)
        if skipped:
            log.warning("epoch %d: %d unreadable samples left out", record["epoch"], skipped)
        log.info(
            "epoch %d/%d: loss %.4f, top-1 %.2f%%%s, %.0f clips/s, %s to go",
            record["epoch"],
            n_epochs,
            record["loss"],
            100 * record["top1"],
            validated,
            record["clips_per_s"],
            _format_s(record["eta_s"]),
        )

    def close(self) -> None:
        """Let go of all files."""
        self.close_epoch()
        if self._events is not None:
            self._events.close()

    def _write(self, kind: str, record: dict[str, Any]) -> None:
        if self.folder is None:
            return
        with self.folder.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind, **record}) + "\n")
        if self._events is not None:
            for name, value in record.items():
                if name not in ("epoch", "step"):
                    self._events.add_scalar(f"{kind}/{name}", value, record["step"])


def _drop_undone(folder: RunFolder, progress: Progress, done: int) -> None:
    """Keep the records of what the checkpoint holds, so that no step stands there twice."""
    if not folder.metrics.exists():
        return
    kept = []
    for line in folder.metrics.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break  # A kill may cut the last line short.
        last = progress.epoch if record["kind"] == "epoch" else done
        if record["epoch" if record["kind"] == "epoch" else "step"] <= last:
            kept.append(line)
    write_text(folder.metrics, "".join(f"{line}\n" for line in kept))


def _format_s(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
