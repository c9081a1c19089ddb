"""Forms of the two-layer score: time and peak memory, forward and with its gradients.

    python tests/benchmarks/bench_attention.py [--clips 2] [--rounds 7] [--device cpu]

Full width after gcn6: d = 256, m = 512, 4 frames, 2 persons of 18 joints, 196 context places.
"""

import argparse
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import torch
from timing import Names, Row, measure, print_table, ratio, summarise

from train.model_config import AttentionConfig
from train.models.scores import TwoLayerScore

FORMS = {"mean": ("naive", "factored", "sorted"), "max": ("naive", "factored", "argmax")}


def build_case(
    form: str, reduce: str, clips: int, device: str, backward: bool
) -> Callable[[], int]:
    """Return a job that scores ``clips`` clips and returns their number."""
    torch.manual_seed(0)
    score = TwoLayerScore(256, 512, AttentionConfig(form=form, reduce=reduce)).to(device)
    v = torch.randn(clips, 256, 4, 36, device=device, requires_grad=True)
    a = torch.randn(clips, 512, 4, 196, device=device, requires_grad=True)

    def run() -> int:
        if backward:
            score(v, a).sum().backward()
            v.grad = a.grad = None
            score.zero_grad()
        else:
            with torch.no_grad():
                score(v, a)
        if device != "cpu":
            torch.cuda.synchronize()
        return clips

    return run


def measure_peak(form: str, reduce: str, clips: int, device: str) -> float:
    """Return the megabytes that forward and backward add to the memory held before them."""
    torch.set_num_threads(1)
    run = build_case(form, reduce, clips, device, backward=True)
    if device != "cpu":
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = read_high_water()
    run()
    return read_high_water() - before


def read_high_water() -> float:
    """Return the largest resident memory of this process so far in megabytes (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6


def bench(rounds: int = 7, clips: int = 2) -> list[Row]:
    """Return the rows of both reductions with their gradients, on a CPU."""
    torch.set_num_threads(1)
    rows: list[Row] = []
    for reduce, forms in FORMS.items():
        cases = {f: build_case(f, reduce, clips, "cpu", True) for f in forms}
        rates = measure(cases, rounds, clock=time.process_time)
        names = [Names(forms[2], "naive"), Names(forms[2], "factored")]
        job, unit = f"attention with {reduce}, {forms[2]}", "clips/CPU s"
        rows += [summarise(job, rates, each, unit=unit) for each in names]
    return rows


def main() -> None:
    """Print one table per reduction and direction, then peak memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for reduce, forms in FORMS.items():
        for backward in (False, True):
            cases = {f: build_case(f, reduce, args.clips, args.device, backward) for f in forms}
            rates = measure(cases, args.rounds)
            words = "forward and backward" if backward else "forward"
            title = f"{reduce} over 196 places, {words}, {args.clips} clips on {args.device}"
            print_table(title, rates, peer="naive", unit="clips/s")
            print(f"{forms[2]} against factored: {ratio(rates, forms[2], 'factored'):.2f}x")
        # Each peak in a process of its own: memory once held is never given back.
        with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            for form in forms:
                peak = pool.apply(measure_peak, (form, reduce, args.clips, args.device))
                print(f"{form:10} peak memory of forward and backward: {peak:8.0f} MB")


if __name__ == "__main__":
    main()
