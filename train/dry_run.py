"""What a training would be: sizes, steps and memory, without training."""

import torch
from torch import Tensor, nn

from toolkit.shards import BODIES, DatasetReader
from train.config import TrainConfig
from train.context_file import ContextFile
from train.distributed import open_world
from train.models import ActionNetwork, ClipSize, count_macs, count_parameters
from train.prepare import Prepared, prepare
from train.request import Job

GIGA = 1e9


def describe_job(job: Job) -> str:
    """Return the facts of a job as lines of text; reads the data set, writes nothing."""
    with open_world(job.config.run.device) as world:
        prepared = prepare(job.config, job.dataset)
        config, subsets = prepared.config, prepared.subsets
        size = _clip_size(prepared)
        macs = count_macs(config.model, prepared.graph, prepared.n_classes, size)
        n_steps = prepared.steps_per_epoch(world)
        model = _build_on_meta(prepared)
        per_clip, fixed = measure_memory(model, config, _empty_batch(prepared, size))
        rows = [
            ("data set", f"{prepared.dataset} ({prepared.data.name}, split {config.data.split})"),
            ("samples", f"{len(subsets.train)} train, {len(subsets.validation)} validation,"
                        f" {len(subsets.test)} test; {prepared.n_classes} classes"),
            ("system", f"{config.model.system} on {config.model.backbone}"),
            ("parameters", f"{count_parameters(model):,}"),
            ("MACs a clip", f"{macs['total']:,} forward (skeleton {macs['skeleton']:,}, context"
                            f" {macs['context']:,}, attention {macs['attention']:,})"),
            ("step", f"{prepared.clips_per_step(world)} clips: {config.run.batch_size} x"
                     f" {config.run.accumulate} batches x {world.size} ranks"),
            ("steps", f"{n_steps:,} an epoch, {n_steps * config.optim.epochs:,} in"
                      f" {config.optim.epochs} epochs"),
            ("learning rate", f"{prepared.peak_rate(world):.6g} at its peak,"
                              f" {config.optim.schedule}"),
            ("memory", f"about {(fixed + per_clip * config.run.batch_size) / GIGA:.2f} GB a rank:"
                       f" {fixed / GIGA:.2f} for weights, gradients and momentum,"
                       f" {per_clip / 1e6:.1f} MB a clip"),
            ("device", str(world.device)),
            ("out", str(job.out)),
        ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}" for name, value in rows)


def measure_memory(
    model: nn.Module, config: TrainConfig, batch: dict[str, Tensor]
) -> tuple[float, float]:
    """Return bytes a clip needs until its backward pass, and bytes needed whatever the batch.

    ``model`` and ``batch`` (of one clip) lie on the meta device: what autograd would keep is
    counted, not allocated.  Libraries' own buffers are left out.
    """
    kept: dict[int, int] = {}
    weights = {_address(p): p.nbytes for p in model.parameters()}

    def note(tensor: Tensor) -> Tensor:
        kept[_address(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        # As long as the output lives, so does all that is kept, and no address is used twice.
        output = model(**batch)
    activations = sum(n for address, n in kept.items() if address not in weights)
    del output
    # Weights, gradients, momentum and perhaps the moving average.
    copies = 3 + (config.run.ema > 0)
    width = 0.5 if config.run.amp == "bf16" else 1.0
    return activations * width, float(sum(weights.values()) * copies)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _clip_size(prepared: Prepared) -> ClipSize:
    data, places = prepared.config.data, 1
    if data.context_file is not None:
        places = ContextFile(data.context_file, DatasetReader(prepared.dataset), []).shape[0]
    return ClipSize(data.clip_length, data.frame_size, BODIES, places)


def _build_on_meta(prepared: Prepared) -> ActionNetwork:
    with torch.device("meta"):
        return ActionNetwork(prepared.config.model, prepared.graph, prepared.n_classes)


def _empty_batch(prepared: Prepared, size: ClipSize) -> dict[str, Tensor]:
    T, M, model = size.frames, size.persons, prepared.config.model
    V, C, pixels = prepared.data.layout.n_joints, model.in_channels, size.pixels
    with torch.device("meta"):
        return {
            "joints": torch.empty(1, C, T, V, M),
            "rgb": torch.empty(1, 3, T, pixels, pixels),
            "context": torch.empty(1, T, size.places, model.context_features),
            "present": torch.ones(1, T, M, dtype=torch.bool),
        }
