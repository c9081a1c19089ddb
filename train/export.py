"""``python -m train.export``: a trained network as files that need neither this code nor torch."""

import logging
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn

from toolkit.shards import BODIES
from train.command_line import EPILOG, run_command, set_up_logging
from train.errors import TrainError
from train.files import write_atomically, write_text
from train.model_card import format_card
from train.models import ActionNetwork, ModelConfig, SkeletonGraph, build_model
from train.saved_run import SavedRun, load_run
from train.transforms import normalise_rgb

log = logging.getLogger(__name__)

PT2, ONNX, CARD = "model.pt2", "model.onnx", "MODEL_CARD.md"
# What single precision makes of the same sums in another order, logits being of the order of 1.
LARGEST_DIFFERENCE = 1e-3
OPSET = 18


@dataclass(frozen=True)
class Exported:
    """What was written, and how far its logits lie from those of the network it came from.

    ``onnx_difference`` is None where onnxruntime was not there to look.
    """

    paths: tuple[Path, ...]
    inputs: dict[str, tuple[int, ...]]
    pt2_difference: float
    onnx_difference: float | None = None


class Deployed(nn.Module):
    """A network with the normalisation of pictures inside; takes its inputs by position.

    Joints are normalised as in training, rgb is uint8 (N, 3, T, H, W).
    """

    mean: Tensor

    def __init__(self, model: ActionNetwork, names: tuple[str, ...], loaded: SavedRun) -> None:
        super().__init__()
        self.model, self.names = model, names
        self.scale = loaded.config.data.rgb_scale
        # A constant made inside forward, as in normalise_rgb, is lost on the way to a file.
        mean = torch.tensor(loaded.config.data.rgb_mean).view(3, 1, 1, 1)
        self.register_buffer("mean", mean)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return logits (N, K)."""
        given = dict(zip(self.names, inputs, strict=True))
        for tensor in inputs[1:]:
            # Or the tracer takes the numbers of clips for two, and refuses a single clip.
            torch._check(tensor.shape[0] == inputs[0].shape[0])
        if "rgb" in given:
            given["rgb"] = (given["rgb"] - self.mean) * self.scale
        logits: Tensor = self.model(**given)
        return logits


def make_inputs(loaded: SavedRun, n_clips: int, seed: int = 0) -> dict[str, Tensor]:
    """Return random inputs of the kinds that a network reads, by name.

    Raises ``TrainError`` for a network of stored context, whose shape no run tells.
    """
    config, data, layout = loaded.config.model, loaded.config.data, loaded.data.layout
    if config.has_context and not config.has_rgb_branch:
        raise TrainError(
            f"{loaded.folder.path} reads features from a context file, whose shape is that file's"
            " own: such a network is not exported"
        )
    T, random = data.clip_length, torch.Generator().manual_seed(seed)
    inputs: dict[str, Tensor] = {}
    if config.has_skeleton:
        shape = n_clips, config.in_channels, T, layout.n_joints, BODIES
        inputs["joints"] = torch.randn(shape, generator=random)
    if config.has_rgb_branch:
        shape = n_clips, 3, T, data.frame_size, data.frame_size
        inputs["rgb"] = torch.randint(0, 256, shape, generator=random, dtype=torch.uint8)
    if config.person_mask and config.has_skeleton:
        inputs["present"] = torch.ones(n_clips, T, BODIES, dtype=torch.bool)
    return inputs


def deploy(loaded: SavedRun, names: tuple[str, ...]) -> Deployed:
    """Return the network on the CPU in a form that exporters know.

    Scores are computed as factored products: the same numbers as by sorting, which ONNX lacks.
    """
    config, layout = loaded.config.model, loaded.data.layout
    plain: ModelConfig = replace(config, attention=replace(config.attention, form="factored"))
    graph = SkeletonGraph(layout.n_joints, layout.bones, layout.centre)
    model = build_model(plain, graph, len(loaded.data.class_names))
    model.load_state_dict(loaded.model.state_dict())
    return Deployed(model, names, loaded).eval().requires_grad_(False)


def export_run(loaded: SavedRun, out: Path, *, onnx: bool = True) -> Exported:
    """Write ``model.pt2``, ``model.onnx`` and the model card; compare both with the network.

    Raises ``TrainError`` when the network cannot be exported, when its exported form says
    something else than it does, or when the packages for ONNX are missing.
    """
    if onnx:
        _require_onnx()
        _refuse_grid(loaded)
    out.mkdir(parents=True, exist_ok=True)
    inputs = make_inputs(loaded, 2)
    deployed = deploy(loaded, tuple(inputs))
    program = _trace(deployed, inputs)
    checked = make_inputs(loaded, 3, seed=1)
    expected = _answer(loaded, checked)
    with torch.inference_mode():
        found = program.module()(*checked.values())
    difference = _compare(PT2, found, expected)
    write_atomically(out / PT2, partial(_save_program, program))
    shapes = {name: tuple(tensor.shape[1:]) for name, tensor in inputs.items()}
    exported = Exported((out / PT2, out / CARD), shapes, difference)
    if onnx:
        can_check = _export_onnx(program, tuple(inputs), out / ONNX)
        exported = replace(exported, paths=(out / PT2, out / ONNX, out / CARD))
        if can_check:
            answer = _run_onnx(out / ONNX, checked)
            exported = replace(exported, onnx_difference=_compare(ONNX, answer, expected))
    write_text(out / CARD, format_card(loaded, exported.inputs, differences_of(exported)))
    return exported


def differences_of(exported: Exported) -> dict[str, float | None]:
    """Return the largest difference of logits by file."""
    differences: dict[str, float | None] = {PT2: exported.pt2_difference}
    if any(path.name == ONNX for path in exported.paths):
        differences[ONNX] = exported.onnx_difference
    return differences


def _answer(loaded: SavedRun, inputs: dict[str, Tensor]) -> Tensor:
    """Return the logits of the network as it was trained, in its own form."""
    device, data = loaded.forward.device, loaded.config.data
    given = {name: tensor.to(device) for name, tensor in inputs.items()}
    if "rgb" in given:
        given["rgb"] = normalise_rgb(given["rgb"], data.rgb_mean, data.rgb_scale)
    with torch.inference_mode():
        logits: Tensor = loaded.model(**given).cpu()
    return logits


def _trace(deployed: Deployed, inputs: dict[str, Tensor]) -> Any:
    """Export for any number of clips; torch raises many kinds for what it cannot follow."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    try:
        with torch.no_grad():
            return torch.export.export(
                deployed,
                tuple(inputs.values()),
                dynamic_shapes=(tuple({0: batch} for _ in inputs),),
                strict=False,
            )
    except Exception as error:
        raise TrainError(
            f"torch.export cannot follow this network: {_first_line(error)}"
        ) from error


def _save_program(program: Any, path: Path) -> None:
    # Told by the file's name, which is another one while it is written.
    with path.open("wb") as file:
        torch.export.save(program, file)


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise TrainError(
            f"exporting to ONNX needs the package {error.name}: pip install 'ctxtool[export]', or"
            " give --no-onnx"
        ) from error


def _refuse_grid(loaded: SavedRun) -> None:
    model = loaded.config.model
    if model.has_attention and model.has_context and "grid" in model.attention.context_k:
        raise TrainError(
            f"{loaded.folder.path} averages the context into {model.attention.context_k}, for which"
            " ONNX has no operator: give --no-onnx"
        )


def _export_onnx(program: Any, names: tuple[str, ...], path: Path) -> bool:
    """Write the ONNX file; return whether onnxruntime is there to check it."""
    try:
        made = torch.onnx.export(
            program, input_names=list(names), output_names=["logits"], dynamo=True,
            opset_version=OPSET, verbose=False,
        )  # fmt: skip
    except Exception as error:
        raise TrainError(f"torch.onnx cannot express this network: {_first_line(error)}") from error
    if made is None:
        raise TrainError("torch.onnx returned no program and no reason")
    write_atomically(path, lambda aside: made.save(str(aside), external_data=False))
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        log.warning("onnxruntime is not installed: %s is not checked", path)
        return False
    return True


def _run_onnx(path: Path, inputs: dict[str, Tensor]) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return torch.from_numpy(logits)


def _compare(name: str, found: Tensor, expected: Tensor) -> float:
    difference = float((found - expected).abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise TrainError(
            f"{name} says something else than the network: logits differ by {difference:.2g},"
            f" {LARGEST_DIFFERENCE:g} are allowed; do not use it"
        )
    return difference


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, epilog=EPILOG)
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False),
              help="Where to write.  [default: RUN/export]")  # fmt: skip
@click.option("--no-onnx", is_flag=True, help="Write no model.onnx.")
@click.option("--checkpoint", default="last", show_default=True, metavar="last|best|FILE",
              help="Which state of the network.")  # fmt: skip
def export(run: Path, out: Path | None, checkpoint: str, *, no_onnx: bool) -> None:
    """Export the network of RUN, a folder of train.run, to torch.export and ONNX.

    Writes model.pt2, model.onnx and MODEL_CARD.md.  Both are compared with the network.

    \b
    Examples:
      python -m train.export runs/NAME
      python -m train.export runs/NAME --out deployed --no-onnx
    """
    set_up_logging()
    loaded = load_run(run, checkpoint, "cpu")
    exported = export_run(loaded, out or run / "export", onnx=not no_onnx)
    for path in exported.paths:
        click.echo(path)
    for name, difference in differences_of(exported).items():
        told = "not checked" if difference is None else f"{difference:.1e} at most"
        click.echo(f"{name}: logits differ from the network's by {told}")


if __name__ == "__main__":
    run_command(export)
