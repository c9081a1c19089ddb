"""``python -m train.audit``: is what a network on synthetic data achieves honest?"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch

from train.audits import Finding, Subject, audit
from train.command_line import run_command, set_up_logging
from train.dataset_folder import find_dataset, find_run_dataset
from train.errors import TrainError
from train.evaluate import EvaluationOptions
from train.files import write_json
from train.saved_run import load_run
from train.synthetic import CEILINGS_FILE, LATENTS_FILE, find_beside_raw

log = logging.getLogger(__name__)

AUDIT_FILE = "audit.json"
EXIT_FAILED = 1

_VERDICTS = {True: "pass", False: "FAIL", None: "told"}

_EPILOG = """
\b
Exit status: 0 all audits of all runs passed; 1 one failed (or one sentence
says why they could not be done); 2 wrong usage.
"""


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=_EPILOG)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=click.Path(path_type=Path))
@click.option("--shards", type=click.Path(path_type=Path), help="Data set folder, or the folder"
              " that holds exactly one.  [default: the one trained on]")  # fmt: skip
@click.option("--latents", type=click.Path(path_type=Path, dir_okay=False),
              help="latents.csv of these data.  [default: beside the raw data]")  # fmt: skip
@click.option("--ceilings", type=click.Path(path_type=Path, dir_okay=False),
              help="ceilings.json.  [default: beside the latents]")  # fmt: skip
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Draws which samples are paired.")  # fmt: skip
@click.option("--workers", type=click.IntRange(0), help="Reading processes.  [default: the run's]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
def audit_runs(
    *,
    runs: tuple[Path, ...],
    shards: Path | None,
    checkpoint: str,
    device: str,
    workers: int | None,
    **choices: Any,
) -> int:
    """Audit networks trained on synthetic data, whose ceilings are known exactly.

    \b
    ceiling         no score is significantly above what its inputs make possible
    counterfactual  another part counts, or motions are swapped: the answer
                    changes if and only if the right one does
    shuffled        with a random part the accuracy falls as far as it must
    attention       f_cross of arms minus legs, by the part that counts (told)
    memory          accuracy of the training and of the test samples (told)

    Pictures and skeletons are independent given the latents, so that showing a skeleton with the
    scene of another sample equals rendering both anew. Writes audit.json to each RUN.

    \b
    Examples:
      python -m train.audit runs/demo
      python -m train.audit runs/ablation-kinetics-motion/KM-*-seed?
    """
    set_up_logging()
    options = EvaluationOptions(checkpoint=checkpoint, device=device, workers=workers)
    return max([audit_one(run, shards, options, **choices) for run in runs])


def audit_one(
    run: Path,
    shards: Path | None,
    options: EvaluationOptions,
    *,
    latents: Path | None = None,
    ceilings: Path | None = None,
    seed: int = 0,
) -> int:
    """Audit one run, print and write what was found; return the exit status."""
    loaded = load_run(run, options.checkpoint, options.device)
    if loaded.config.run.threads:
        torch.set_num_threads(loaded.config.run.threads)
    dataset = find_dataset(shards or find_run_dataset(loaded.folder))
    latents = latents or _find(dataset, LATENTS_FILE, "--latents")
    files = latents, ceilings or latents.with_name(CEILINGS_FILE)
    subject = Subject(loaded, dataset, files, options)
    findings = audit(subject, seed)
    failed = any(finding.passed is False for finding in findings)
    write_json(run / AUDIT_FILE, _to_json(subject, findings, failed=failed))
    click.echo(format_findings(run.name, findings))
    return EXIT_FAILED if failed else 0


def _find(dataset: Path, name: str, option: str) -> Path:
    path = find_beside_raw(dataset, name)
    if path is None:
        raise TrainError(
            f"no {name} lies above the raw files that {dataset} was made of: audits are for"
            f" synthetic data; name the file by {option}"
        )
    return path


def format_findings(name: str, findings: Sequence[Finding]) -> str:
    """Return a line for each finding."""
    width = max(len(finding.name) for finding in findings)
    lines = [f"{_VERDICTS[f.passed]}  {f.name:{width}}  {f.text}" for f in findings]
    return "\n".join([name, *lines])


def _to_json(subject: Subject, findings: Sequence[Finding], *, failed: bool) -> dict[str, Any]:
    return {
        **subject.plain.source,
        "split": subject.plain.split,
        "passed": not failed,
        "findings": [vars(finding) for finding in findings],
    }


if __name__ == "__main__":
    run_command(audit_runs)
