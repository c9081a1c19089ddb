"""One process or many: who this one is, and the few things ranks say to each other.

Started by torchrun, ranks talk through NCCL on GPUs and gloo on CPUs.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from train.errors import TrainError
from train.joining import join_ranks


@dataclass(frozen=True)
class World:
    """This process among ``size`` equal ones; ``local_size`` of them are on this machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks to people."""
        return self.rank == 0


@contextmanager
def open_world(device: str) -> Iterator[World]:
    """Join the other ranks if torchrun started this process, and leave them in the end.

    Raises ``TrainError`` if the device does not exist.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    world = World(
        rank=int(os.environ.get("RANK", "0")),
        size=size,
        local_rank=local_rank,
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", str(size))),
        device=choose_device(device, local_rank),
    )
    if world.device.type == "cuda":
        torch.cuda.set_device(world.device)
    if size == 1:
        yield world
        return
    join_ranks("nccl" if world.device.type == "cuda" else "gloo")
    try:
        yield world
    finally:
        dist.destroy_process_group()


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """Return the device a setting means; ``auto`` is this rank's GPU, or the CPU without any."""
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        name = "cuda" if n_gpus else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise TrainError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}") from error
    if device.type == "cpu":
        return device
    if device.type == "cuda" and device.index is None:
        device = torch.device("cuda", local_rank)
    if device.type != "cuda" or device.index >= n_gpus:
        raise TrainError(
            f"device {name} for rank {local_rank} of this machine does not exist here: there are"
            f" {n_gpus} GPUs; use --device cpu, or start no more ranks than GPUs"
        )
    return device


def sum_over_ranks(values: Tensor, world: World) -> Tensor:
    """Return the sum of a tensor over all ranks, on the CPU; the same bits on every rank."""
    return _add_up(list(gather_over_ranks(values, world)))


def _add_up(parts: list[Tensor]) -> Tensor:
    """Add in the order of ranks: an all-reduce adds in another one at each place of a tensor."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def gather_over_ranks(values: Tensor, world: World) -> Tensor:
    """Stack tensors of one shape from all ranks, (ranks, ...), on the CPU."""
    if world.size == 1:
        return values[None].cpu()
    mine = values.to(world.device)
    parts = [torch.empty_like(mine) for _ in range(world.size)]
    dist.all_gather(parts, mine)
    return torch.stack(parts).cpu()


def wait_for_ranks(world: World) -> None:
    """Go on only when every rank is here."""
    if world.size > 1:
        dist.barrier()


def share_buffers(model: nn.Module, world: World) -> None:
    """Give every rank the running statistics of rank 0, so that all evaluate the same network."""
    if world.size > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def spread(model: nn.Module, world: World) -> nn.Module:
    """Wrap a network so that gradients are averaged over ranks."""
    if world.size == 1:
        return model
    if world.device.type == "cuda":
        return DistributedDataParallel(
            model, device_ids=[world.device.index], gradient_as_bucket_view=True
        )
    spread_model = DistributedDataParallel(model)
    spread_model.register_comm_hook(None, _average_in_order)
    return spread_model


def _average_in_order(
    _: None,
    bucket: dist.GradBucket,  # type: ignore[name-defined]
) -> torch.futures.Future[Tensor]:
    """Average gradients whatever bucket they came in: DDP arranges those anew after its first step.

    A resumed run has its first step later than an undisturbed one, and must get the same bits.
    """
    mine = bucket.buffer()
    parts = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
    gathered = dist.all_gather(parts, mine, async_op=True).get_future()
    return gathered.then(lambda _: _add_up(parts) / len(parts))


@contextmanager
def explain_lost_ranks(world: World) -> Iterator[None]:
    """Turn what the backends raise when another rank is gone into a ``TrainError``."""
    try:
        yield
    except RuntimeError as error:
        # Gloo has no kind of its own, but names its source file.
        if world.size > 1 and (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise TrainError(
                f"rank {world.rank} lost another rank; what that one said before says why, and"
                " --resume goes on from the last checkpoint"
            ) from error
        raise


def keep_gradients_local(model: nn.Module, *, local: bool) -> AbstractContextManager[None]:
    """Do not average gradients in this backward pass: more batches belong to the step."""
    if local and isinstance(model, DistributedDataParallel):
        return model.no_sync()
    return nullcontext()
