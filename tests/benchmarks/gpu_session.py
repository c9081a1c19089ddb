"""Everything that wants a GPU, in one call of minutes: first is it right, then how fast is it.

    python tests/benchmarks/gpu_session.py --out FOLDER [--minutes 8] [--smoke]

Writes gpu_session.json and gpu_session.md to FOLDER after every part, so that a session cut short
leaves what it has.  A part that breaks is recorded with its error and the next one begins; the exit
status is 1 if a check failed.  ``--smoke`` runs every part in the small, on a CPU too.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
import torch
from bench_step import GRAPH, build_step, count_training_flop, draw_batch
from torch import Tensor

from train.models import (
    AttentionConfig,
    CrossAttention,
    ModelConfig,
    SkeletonGraph,
    build_model,
    use_channels_last,
)

# What an H200 can do at best: dense bfloat16, and float32 by TF32 units.
PEAK_FLOPS = {True: 989e12, False: 494e12}
FORMS = [
    ("dot", "mean", "naive"), ("dot", "mean", "factored"), ("dot", "max", "factored"),
    ("mlp1", "mean", "naive"), ("mlp1", "mean", "factored"), ("mlp1", "max", "factored"),
    ("mlp2", "mean", "naive"), ("mlp2", "mean", "factored"), ("mlp2", "mean", "sorted"),
    ("mlp2", "max", "naive"), ("mlp2", "max", "factored"), ("mlp2", "max", "argmax"),
]  # fmt: skip
N_SAMPLES = 128
# Relative error of outputs and gradients against float32 on the CPU.
TOLERANCE = {torch.float32: 2e-3, torch.bfloat16: 5e-2}


@dataclass(frozen=True)
class Session:
    """What is run on, how large, and until when; ``rows`` collects what each part found."""

    device: torch.device
    smoke: bool
    out: Path
    deadline: float
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def config(self) -> ModelConfig:
        """The paper's network, or the smallest that has all its parts."""
        if not self.smoke:
            return ModelConfig()
        small = {"width": 4, "context_width": 2, "stages": (1, 1), "attach": ("gcn1",)}
        return replace(ModelConfig(), **small, context_blocks=(1, 1))

    @property
    def pixels(self) -> int:
        """Side of the pictures."""
        return 32 if self.smoke else 112

    def left_s(self) -> float:
        """Return the seconds left for parts to come."""
        return self.deadline - time.monotonic()

    def wait(self) -> None:
        """Let the device finish what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def time_steps(self, step: Callable[[], int], n_warm: int, n_steps: int) -> dict[str, float]:
        """Return seconds a step, clips a second and peak memory of steps that return clips."""
        for _ in range(n_warm):
            step()
        self.wait()
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        begin = time.perf_counter()
        n_clips = sum(step() for _ in range(n_steps))
        self.wait()
        took = time.perf_counter() - begin
        facts = {"step_ms": 1e3 * took / n_steps, "clips_per_s": n_clips / took}
        if self.device.type == "cuda":
            facts["peak_gb"] = torch.cuda.max_memory_allocated(self.device) / 1e9
        return facts


def list_gradients(module: torch.nn.Module, v: Tensor, context: Tensor) -> list[Tensor]:
    """Return the output of a module, and the gradients of its inputs and weights, on the CPU."""
    v, context = v.clone().requires_grad_(), context.clone().requires_grad_()
    out = module(v, context)
    (
        out.float() * torch.linspace(-1, 1, out.numel(), device=out.device).view_as(out)
    ).sum().backward()
    tensors = [out, v.grad, context.grad, *(p.grad for p in module.parameters())]
    return [tensor.detach().float().cpu() for tensor in tensors if tensor is not None]


def worst_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Return the largest difference of two lists of tensors, relative to the size of each one."""
    pairs = zip(found, wanted, strict=True)
    return max(float((a - b).norm() / b.norm().clamp_min(1e-12)) for a, b in pairs)


def check_forms(session: Session) -> Iterator[dict[str, Any]]:
    """Compare every attention form on the device with the plain one on the CPU in float32."""
    d, m, side = (8, 6, 3) if session.smoke else (256, 256, 7)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(2, d, 4, 18, 2, generator=generator)
    context = torch.randn(2, m, 4, side, side, generator=generator)
    for score, reduce, form in FORMS:
        torch.manual_seed(0)
        plain = CrossAttention(d, m, AttentionConfig(score=score, reduce=reduce, form="naive"))
        wanted = list_gradients(plain, v, context)
        for dtype, limit in TOLERANCE.items():
            config = AttentionConfig(score=score, reduce=reduce, form=form)
            module = CrossAttention(d, m, config).to(session.device)
            module.load_state_dict(plain.state_dict())
            mixed = dtype != torch.float32
            with torch.autocast(session.device.type, torch.bfloat16, enabled=mixed):
                found = list_gradients(module, v.to(session.device), context.to(session.device))
            error = worst_error(found, wanted)
            # Of a maximum in bfloat16 another location may be the highest: told, not judged.
            judged = not (mixed and reduce == "max")
            yield {"form": f"{score} {reduce} {form}", "dtype": str(dtype)[6:], "error": error,
                   "ok": error <= limit or not judged}  # fmt: skip


def check_network(session: Session) -> Iterator[dict[str, Any]]:
    """Compare logits of the whole network on the device with those on the CPU."""
    torch.manual_seed(0)
    batch = draw_batch(2, session.pixels, "cpu")
    model = build_model(session.config, GRAPH, 400).eval()
    with torch.inference_mode():
        wanted = [model(**batch)]
        model.to(session.device)
        moved = {name: tensor.to(session.device) for name, tensor in batch.items()}
        for dtype, limit in TOLERANCE.items():
            mixed = dtype != torch.float32
            with torch.autocast(session.device.type, torch.bfloat16, enabled=mixed):
                error = worst_error([model(**moved).float().cpu()], wanted)
            yield {"dtype": str(dtype)[6:], "error": error, "ok": error <= limit}


def measure_levers(session: Session) -> Iterator[dict[str, Any]]:
    """Time training steps, one lever more at a time, then with larger batches."""
    sizes = (2,) if session.smoke else (32, 64, 128, 256)
    levers: list[dict[str, bool]] = [{}, {"bf16": True}, {"bf16": True, "channels_last": True}]
    everything = {"bf16": True, "channels_last": True, "compile": True}
    cases = [(sizes[0], lever) for lever in levers]
    cases += [(size, levers[-1]) for size in sizes[1:]]
    cases += [] if session.smoke else [(size, everything) for size in sizes[1:3]]
    for size, lever in cases:
        if session.left_s() < 60 and not session.smoke:
            yield {"clips": size, **lever, "note": "no time left"}
            continue
        try:
            yield {"clips": size, **lever, **measure_step(session, size, lever)}
        except torch.OutOfMemoryError:
            yield {"clips": size, **lever, "note": "out of memory"}


def measure_step(session: Session, size: int, lever: dict[str, bool]) -> dict[str, float]:
    """Time training steps of the network on random clips."""
    torch.manual_seed(0)
    batch = draw_batch(size, session.pixels, str(session.device))
    model: torch.nn.Module = build_model(session.config, GRAPH, 400).to(session.device)
    if lever.get("channels_last"):
        use_channels_last(model)
        batch["rgb"] = batch["rgb"].contiguous(memory_format=torch.channels_last_3d)
    trained: Any = torch.compile(model) if lever.get("compile") else model
    bf16 = lever.get("bf16", False)
    step = build_step(trained, batch, torch.bfloat16 if bf16 else torch.float32)
    facts = session.time_steps(step, *((1, 1) if session.smoke else (5, 15)))
    flop = count_training_flop(session.config, session.pixels) * facts["clips_per_s"]
    return {**facts, "tflop_s": flop / 1e12, "mfu": flop / PEAK_FLOPS[bf16]}


def write_clips(session: Session, folder: Path) -> Path:
    """Write a data set with pictures as large as extraction stores them."""
    # Late, as all that reads shards: without its packages the other parts still run.
    import shard_builders
    from bench_loader import draw_pictures
    from shard_builders import MadeDataset, Recording, write_dataset

    n_samples, n_frames = (4, 20) if session.smoke else (N_SAMPLES, 64)
    shard_builders.make_pictures = draw_pictures
    recordings = [Recording(f"s{i:04}", label=i % 3, n_frames=n_frames) for i in range(n_samples)]
    return write_dataset(folder / "clips", recordings, MadeDataset(samples_per_shard=64))


def open_loader(session: Session, dataset: Path, size: int, workers: int) -> Any:
    """Return a loader of training clips for the device."""
    from train.data import DataConfig
    from train.loader import LoaderOptions, make_train_loader

    data = DataConfig(frame_size=session.pixels)
    options = LoaderOptions(size, workers, pin_memory=session.device.type == "cuda")
    n_samples = 4 if session.smoke else N_SAMPLES
    # Each sample several times an epoch: starting an epoch anew is not what is measured.
    samples = list(range(n_samples)) * (1 if session.smoke else 48)
    return make_train_loader(dataset, samples, data, options)[0]


def measure_feeding(session: Session) -> Iterator[dict[str, Any]]:
    """Time the loader alone, then training fed by it: end to end from shards."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_clips(session, Path(folder))
        size = 2 if session.smoke else 128
        for workers in (0,) if session.smoke else (4, 8, 16):
            loader = open_loader(session, dataset, size, workers)
            yield {"what": "loader alone", "workers": workers, **time_batches(session, loader, len)}
        loader = open_loader(session, dataset, size, 0 if session.smoke else 16)
        facts = time_batches(session, loader, build_fed_step(session))
        yield {"what": "training from shards", "workers": loader.num_workers, **facts}


def build_fed_step(session: Session) -> Callable[[Any], int]:
    """Return a training step on a batch of the loader, all levers but compile."""
    from toolkit.skeleton import NTU25
    from train.data import DataConfig
    from train.scoring import Forward

    graph = SkeletonGraph(NTU25.n_joints, NTU25.bones, NTU25.centre)
    model = build_model(session.config, graph, 3).to(session.device)
    if session.device.type == "cuda":
        use_channels_last(model)
    forward = Forward(session.device, DataConfig(frame_size=session.pixels), amp=True)
    fused = True if session.device.type == "cuda" else None
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, fused=fused)

    def step(batch: Any) -> int:
        labels = batch.label.to(session.device, non_blocking=True)
        torch.nn.functional.cross_entropy(forward(model, batch), labels).backward()
        optimiser.step()
        optimiser.zero_grad()
        return len(batch)

    return step


def time_batches(session: Session, loader: Any, use: Callable[[Any], int]) -> dict[str, float]:
    """Return clips a second of using every batch but the first few, while workers start."""
    n_skipped = 0 if session.smoke else 8
    n_clips, begin = 0, time.perf_counter()
    for number, batch in enumerate(loader):
        if number == n_skipped:
            session.wait()
            n_clips, begin = 0, time.perf_counter()
        n_clips += use(batch)
        if session.left_s() < 0:
            break
    session.wait()
    return {"clips_per_s": n_clips / (time.perf_counter() - begin)}


PARTS: dict[str, Callable[[Session], Iterator[dict[str, Any]]]] = {
    "attention forms against the CPU": check_forms,
    "network against the CPU": check_network,
    "training step": measure_levers,
    "from shards": measure_feeding,
}


def run_part(session: Session, name: str) -> None:
    """Run a part; an error ends that part only and is written down."""
    rows = session.rows.setdefault(name, [])
    try:
        for row in PARTS[name](session):
            rows.append(row)
            print(name, row, flush=True)
    # Device time is scarce: whatever breaks here, the other parts must run.
    except Exception as error:
        rows.append({"note": f"{type(error).__name__}: {str(error)[:300]}", "ok": False})
        print(name, rows[-1], flush=True)
    write_session(session)


def describe_machine(session: Session) -> dict[str, str]:
    """Return what the figures were measured on."""
    on_gpu = session.device.type == "cuda"
    name = torch.cuda.get_device_name(session.device) if on_gpu else platform.processor() or "cpu"
    return {"device": name, "python": platform.python_version(), "torch": torch.__version__}


def write_session(session: Session) -> None:
    """Write what is known so far as JSON and as Markdown."""
    machine = describe_machine(session)
    text = json.dumps({"machine": machine, "parts": session.rows}, indent=1)
    (session.out / "gpu_session.json").write_text(text + "\n")
    lines = [f"# {', '.join(machine.values())}", ""]
    for name, rows in session.rows.items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        lines += [f"## {name}", "", f"| {' | '.join(columns)} |", "|-" * len(columns) + "|"]
        lines += [f"| {' | '.join(_format(row.get(c, '')) for c in columns)} |" for row in rows]
        lines += [""]
    (session.out / "gpu_session.md").write_text("\n".join(lines))


def _format(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Run all parts; return 1 if a check failed or a part broke."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--smoke", action="store_true", help="everything in the small")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    has_gpu = torch.cuda.is_available()
    if not has_gpu and not args.smoke:
        parser.error("there is no GPU; --smoke runs everything in the small")
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", 0) if has_gpu else torch.device("cpu")
    session = Session(device, args.smoke, args.out, time.monotonic() + 60 * args.minutes)
    for name in PARTS:
        run_part(session, name)
    return int(any(row.get("ok") is False for rows in session.rows.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
