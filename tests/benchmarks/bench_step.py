"""Training step of the proposed model: as its equations stand, and as it is meant to be run.

    python tests/benchmarks/bench_step.py [--clips 2] [--pixels 112] [--width 64] [--device cpu]
                                           [--bf16] [--compile]

"plain" is the same network with every layer written out eagerly in float32: contiguous memory and
a two-layer score on concatenated pairs.  The other rows start from the same weights; the first
logits are compared before anything is timed.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import torch
from timing import Names, measure, print_table, ratio, summarise
from timing import Row as TableRow
from torch import Tensor, nn

from toolkit.skeleton import OPENPOSE18
from train.models import (
    AttentionConfig,
    ClipSize,
    ModelConfig,
    SkeletonGraph,
    build_model,
    count_macs,
    use_channels_last,
)

GRAPH = SkeletonGraph(OPENPOSE18.n_joints, OPENPOSE18.bones, OPENPOSE18.centre)
N_CLASSES = 400
# Name, compiled or not, precision.
Row = tuple[str, bool, torch.dtype]
FLOAT32: Row = ("ours", False, torch.float32)
BFLOAT16: Row = ("ours, bf16", False, torch.bfloat16)
COMPILED: Row = ("ours, bf16, compiled", True, torch.bfloat16)
Batch = dict[str, Tensor]


def draw_batch(clips: int, pixels: int, device: str) -> Batch:
    """Return random joints and RGB clips of 16 frames."""
    return {
        "joints": torch.randn(clips, 3, 16, 18, 2, device=device),
        "rgb": torch.randn(clips, 3, 16, pixels, pixels, device=device),
    }


def build_step(model: nn.Module, batch: Batch, precision: torch.dtype) -> Callable[[], int]:
    """Return one SGD step on the batch, which returns the number of clips."""
    device = batch["rgb"].device.type
    fused = {"fused": True} if device == "cuda" else {}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, **fused)
    labels = torch.zeros(len(batch["rgb"]), dtype=torch.long, device=device)
    mixed = precision != torch.float32

    def step() -> int:
        with torch.autocast(device, precision) if mixed else nullcontext():
            loss = nn.functional.cross_entropy(model(**batch), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        return len(labels)

    return step


def build_cases(config: ModelConfig, batch: Batch, rows: list[Row]) -> dict[str, Callable[[], int]]:
    """Return the step of each way to run the network, all from the same weights."""
    device = batch["rgb"].device
    plain_config = replace(config, attention=AttentionConfig(form="naive"))
    plain = build_model(plain_config, GRAPH, N_CLASSES).to(device)
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    reference = plain(**batch).detach()
    plain.load_state_dict(state)
    rgb = batch["rgb"].contiguous(memory_format=torch.channels_last_3d)
    cases = {"plain": build_step(plain, batch, torch.float32)}
    for name, compile_it, precision in rows:
        model = build_model(config, GRAPH, N_CLASSES).to(device)
        model.load_state_dict(state)
        torch.testing.assert_close(model(**batch).detach(), reference, rtol=1e-3, atol=1e-3)
        use_channels_last(model)
        run: nn.Module = torch.compile(model) if compile_it else model
        cases[name] = build_step(run, {**batch, "rgb": rgb}, precision)
    return cases


def count_training_flop(config: ModelConfig, pixels: int) -> float:
    """Return floating point operations a clip and step; conv1 needs no gradient of its input."""
    macs = count_macs(config, GRAPH, N_CLASSES, ClipSize(pixels=pixels))
    return 2.0 * (3 * macs["total"] - macs["context.conv1"])


def bench(rounds: int = 5, clips: int = 2) -> list[TableRow]:
    """Return the row of the full width in float32 on one CPU thread."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    batch = draw_batch(clips, 112, "cpu")
    cases = build_cases(ModelConfig(), batch, [FLOAT32])
    rates = measure(cases, rounds, clock=time.process_time)
    return [summarise("training step", rates, Names("ours", "plain", reach=1), unit="clips/CPU s")]


def main() -> None:
    """Print clips a second of every row and the arithmetic rate of the fastest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--pixels", type=int, default=112)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--bf16", action="store_true", help="slow on a CPU without bf16 units")
    parser.add_argument("--compile", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = ModelConfig(width=args.width, context_width=args.width)
    batch = draw_batch(args.clips, args.pixels, args.device)
    rows = [FLOAT32] + [BFLOAT16] * args.bf16 + [COMPILED] * args.compile
    rates = measure(build_cases(config, batch, rows), args.rounds)
    size = f"{args.clips} clips of 16 x {args.pixels} x {args.pixels}, width {args.width}"
    print_table(f"training step, {size}, {args.device}", rates, peer="plain", unit="clips/s")
    best = max(rates, key=lambda name: ratio(rates, name, "plain"))
    flop = count_training_flop(config, args.pixels) * sorted(rates[best])[len(rates[best]) // 2]
    print(f"{best}: {flop / 1e12:.3f} TFLOP/s of the network's own arithmetic")


if __name__ == "__main__":
    main()
