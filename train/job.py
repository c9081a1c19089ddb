"""One training from settings to a finished run folder; the command and the ablations call this."""

import logging
from contextlib import nullcontext
from typing import Any

import torch

from train.config import TrainConfig
from train.distributed import World, explain_lost_ranks, open_world, wait_for_ranks
from train.environment import append_environment, describe_environment
from train.errors import TrainError
from train.files import RunFolder, write_json, write_text
from train.loader import explain_lost_workers
from train.lock import hold_folder
from train.loop import Trainer
from train.models import count_parameters
from train.prepare import Prepared, prepare
from train.progress import Progress
from train.request import Job
from train.signals import catch_stop
from train.synthetic import warn_of_mixture

log = logging.getLogger(__name__)


def run_job(job: Job) -> RunFolder:
    """Train, and return the folder of the finished run.

    Under torchrun every rank calls this.  Raises ``TrainError`` or ``ShardError`` with one
    sentence, and ``Interrupted`` when a signal came and everything is saved.
    """
    folder = RunFolder(job.out)
    with catch_stop() as stop, open_world(job.config.run.device) as world:
        _check_folder(folder, job)
        prepared = prepare(job.config, job.dataset)
        if world.is_main:
            warn_of_mixture(job.dataset)
        with (
            hold_folder(folder) if world.is_main else nullcontext(),
            explain_lost_ranks(world),
            explain_lost_workers(),
        ):
            _train(folder, prepared, Trainer(prepared, world, folder, stop), resume=job.resume)
    return folder


def _train(folder: RunFolder, prepared: Prepared, trainer: Trainer, *, resume: bool) -> None:
    world = trainer.world
    _set_up_torch(prepared.config)
    resumed = resume and trainer.resume()
    # Before the folder is opened: what is refused here begins anew, with other settings.
    trainer.keep_pictures()
    if world.is_main:
        _open_folder(folder, prepared, world)
    _tell_start(trainer, resumed)
    progress = trainer.run()
    if world.is_main:
        finish(folder, prepared, trainer, progress)
    wait_for_ranks(world)


def _check_folder(folder: RunFolder, job: Job) -> None:
    if not job.resume and folder.config.exists():
        raise TrainError(
            f"{folder.path} holds a run already; go on with it by --resume, or choose another --out"
        )


def _set_up_torch(config: TrainConfig) -> None:
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    # The sizes of all batches but the last of an epoch are the same.
    torch.backends.cudnn.benchmark = True


def _open_folder(folder: RunFolder, prepared: Prepared, world: World) -> None:
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    write_json(folder.config, prepared.config.to_dict())
    append_environment(folder, describe_environment(prepared, world))


def _tell_start(trainer: Trainer, resumed: bool) -> None:
    config, progress = trainer.config, trainer.progress
    if progress.epoch == config.optim.epochs:
        log.info("%s is finished already", trainer.folder.path)
        return
    if resumed:
        log.info(
            "resuming %s at epoch %d, step %d of %d",
            trainer.folder.path,
            progress.epoch + 1,
            progress.step,
            trainer.n_steps,
        )
    log.info(
        "%s on %s (%s): %d epochs of %d steps of %d clips, learning rate %.4g, %s",
        config.model.system,
        trainer.prepared.data.name,
        config.data.split,
        config.optim.epochs,
        trainer.n_steps,
        trainer.prepared.clips_per_step(trainer.world),
        trainer.prepared.peak_rate(trainer.world),
        trainer.world.device,
    )


def finish(folder: RunFolder, prepared: Prepared, trainer: Trainer, progress: Progress) -> None:
    """Write what came out, for programs and for people."""
    result = {
        "system": prepared.config.model.system,
        "data": prepared.data.name,
        "split": prepared.config.data.split,
        "parameters": count_parameters(trainer.learner.model),
        "epochs": progress.epoch,
        "steps": trainer.global_step,
        "seconds": progress.seconds,
        "last": progress.history[-1],
        "best": progress.best,
    }
    write_text(folder.summary, format_summary(result, prepared, trainer.world))
    write_json(folder.result, result)


def format_summary(result: dict[str, Any], prepared: Prepared, world: World) -> str:
    """Return the facts of a finished training as Markdown."""
    config, last, best = prepared.config, result["last"], result["best"]
    subsets = prepared.subsets
    rows = [
        ("data set", f"{result['data']}, split {result['split']}"),
        ("samples", f"{len(subsets.train)} train, {len(subsets.validation)} validation"),
        ("system", f"{config.model.system}, {result['parameters']:,} parameters"),
        ("steps", f"{result['steps']:,} of {prepared.clips_per_step(world)} clips"),
        ("epochs", str(result["epochs"])),
        ("time", f"{result['seconds'] / 60:.1f} min on {world.size} x {world.device.type}"),
        *_list_skipped(result, prepared),
        ("last epoch, train", f"loss {last['loss']:.4f}, top-1 {last['top1']:.2%}"),
    ]
    if "val_top1" in last:
        rows.append(("last epoch, validation", _format_validation(last)))
    if best is not None:
        rows.append((f"best epoch ({best['epoch']}), validation", _format_validation(best)))
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join(
        [f"# {config.model.system} on {result['data']}", "", "| | |", "|-|-|", *lines, ""]
    )


def _list_skipped(result: dict[str, Any], prepared: Prepared) -> list[tuple[str, str]]:
    if not prepared.config.run.skip_bad:
        return []
    last, subsets = result["last"], prepared.subsets
    told = f"{last.get('skipped', 0):.0f} of {len(subsets.train)} train"
    if "val_skipped" in last:
        told += f", {last['val_skipped']:.0f} of {len(subsets.validation)} validation"
    return [("left out in the last epoch, unreadable", told)]


def _format_validation(record: dict[str, Any]) -> str:
    return (
        f"loss {record['val_loss']:.4f}, top-1 {record['val_top1']:.2%},"
        f" top-5 {record['val_top5']:.2%}"
    )
