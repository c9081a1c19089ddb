"""How ranks that torchrun started find each other, in the first start and in every later one."""

import time
import uuid

from torch.distributed import DistStoreError, init_process_group
from torch.distributed.constants import default_pg_timeout
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

# Ranks of a large job may import for minutes; torch waits as long.
PATIENCE = default_pg_timeout
_LOOK_S = 0.05


def join_ranks(backend: str) -> None:
    """Join the other ranks that the environment tells of.

    They talk under a name that only this start of them knows: torchrun keeps one store for all its
    starts, in which the addresses of killed ranks stay (pytorch/pytorch#135712).
    """
    store, rank, size = next(rendezvous("env://", timeout=PATIENCE))
    own = PrefixStore(name_start(store, rank, size), store)
    init_process_group(backend, store=own, rank=rank, world_size=size)


def name_start(store: Store, rank: int, size: int) -> str:
    """Return a name for this start of all ranks, chosen by rank 0 and new every time.

    Rank 0 welcomes each of the others in person, so none goes by what an earlier start left.
    Raises ``torch.distributed.DistStoreError`` if not all come within ``PATIENCE``.
    """
    if rank == 0:
        return _welcome_others(store, size)
    mine = uuid.uuid4().hex
    last = time.monotonic() + PATIENCE.total_seconds()
    while time.monotonic() < last:
        name = str(store.get("start").decode())
        store.set(f"{name}/{rank}", mine)
        time.sleep(_LOOK_S)
        if store.check([f"{name}/{mine}"]):
            return name
    raise DistStoreError(f"rank 0 did not welcome rank {rank} within {PATIENCE}")


def _welcome_others(store: Store, size: int) -> str:
    name = uuid.uuid4().hex
    store.set("start", name)
    for rank in range(1, size):
        store.set(f"{name}/{store.get(f'{name}/{rank}').decode()}", "welcome")
    return name
