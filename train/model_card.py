"""The model card beside an exported network: what it is, what it was made from, how to call it."""

from typing import Any

from toolkit.shards import SkeletonLayout
from train.data_config import DataConfig
from train.errors import TrainError
from train.files import RunFolder
from train.saved_run import SavedRun
from train.schedule import REFERENCE_BATCH, scale_rate
from train.transforms import is_fractions

# Terms of the data sets as their owners state them, by what a data set's name begins with.
DATA_TERMS = {
    "ntu": "NTU RGB+D is for academic research only; its owners' release agreement forbids"
    " commercial use and passing on the recordings. Cite Shahroudy et al., CVPR 2016 (and Liu et"
    " al., TPAMI 2020, for NTU RGB+D 120).",
    "kinetics": "The list of Kinetics is under CC BY 4.0; its videos belong to those who uploaded"
    " them to YouTube. Cite Kay et al., 2017, and for the skeletons Yan et al., AAAI 2018.",
}
OTHER_TERMS = "The data are not known to ctxtool: look up their terms before passing this on."
MEANINGS = {
    "joints": "float32, normalised joints (channels, frames, joints, bodies); absent ones are 0",
    "rgb": "uint8, pictures (RGB, frames, height, width); normalised inside",
    "present": "bool, whether a body is present (frames, bodies)",
}


def format_card(
    loaded: SavedRun, inputs: dict[str, tuple[int, ...]], differences: dict[str, float | None]
) -> str:
    """Return the card as Markdown.

    ``inputs`` are shapes without the batch, ``differences`` the largest ones of logits by file.
    """
    model, data = loaded.config.model, loaded.data
    return "\n".join(
        [
            f"# {model.system} on {data.name}",
            "",
            "Context-aware cross-attention for skeleton-based action recognition (IEEE Access,"
            " 2020), made by ctxtool.",
            "",
            *_section("Results", _format_results(loaded)),
            *_section("Files", _format_files(differences)),
            *_section("Inputs", _format_inputs(loaded, inputs)),
            *_section("Made from", _format_source(loaded)),
            *_section("Terms of the data", [_find_terms(data.name)]),
            *_section("Classes", [f"{i}. {name}" for i, name in enumerate(data.class_names)]),
        ]
    )


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""]


def _format_results(loaded: SavedRun) -> list[str]:
    path = loaded.folder.path / "evaluation.json"
    if not path.is_file():
        return ["Not evaluated: `python -m train.evaluate` was not run."]
    found = loaded.folder.read_json(path)
    if found.get("checkpoint") != loaded.checkpoint.name:
        return ["Not evaluated in this state of training."]
    return [
        f"Split {found['split']}, {found['subset']} subset, {found['n_samples']} samples, scores"
        " averaged over clips:",
        "",
        "| top-1 | top-5 | mean class |",
        "| - | - | - |",
        f"| {found['top1']:.2%} | {found['top5']:.2%} | {found['mean_class']:.2%} |",
    ]


def _format_files(differences: dict[str, float | None]) -> list[str]:
    lines = ["| file | logits differ from the network's by |", "| - | - |"]
    for name, difference in differences.items():
        told = "not checked" if difference is None else f"{difference:.1e} at most"
        lines.append(f"| {name} | {told} |")
    return lines


def _format_inputs(loaded: SavedRun, inputs: dict[str, tuple[int, ...]]) -> list[str]:
    lines = ["In this order; the batch, of any size, comes first.", ""]
    lines += ["| name | shape | is |", "| - | - | - |"]
    for name, shape in inputs.items():
        lines.append(f"| {name} | N, {', '.join(map(str, shape))} | {MEANINGS[name]} |")
    layout, data = loaded.data.layout, loaded.config.data
    if "joints" in inputs:
        how = _describe_joints(layout, data)
        lines += ["", f"Joints: {layout.name}, {how}. Order: {', '.join(layout.joints)}."]
    if "rgb" in inputs:
        part = "the whole picture" if data.crop == "none" else "the square in the centre"
        lines += ["", f"Pictures: {part}, resized to {data.frame_size}x{data.frame_size}."]
    return [*lines, "", "Output: logits (N, classes); take the softmax, average it over clips."]


def _describe_joints(layout: SkeletonLayout, data: DataConfig) -> str:
    """Say what :func:`train.transforms.normalise_joints` does with these settings."""
    how, absent = "metres", "joints of absent bodies at 0"
    if is_fractions(layout):
        how = "fractions of the picture less 0.5, then the score"
        absent = "joints of absent bodies at 0, 0, those of score 0 stay"
        if data.zero_score:
            absent = "joints of score 0 and of absent bodies at 0, 0"
    if data.centre_joint:
        how += (
            f", then moved so that the first place at which {layout.joints[layout.centre]} is seen"
            " is the origin of the clip"
        )
    return f"{how}; {absent}"


def _describe_clips(data: DataConfig) -> str:
    last = "kept" if data.partial == "keep" else "dropped unless it is the only one"
    short = "those there are loop"
    if data.short == "zero":
        short = f"joints are 0 and pictures {tuple(round(mean) for mean in data.rgb_mean)}"
    return (
        f"{data.clip_length} frames; a recording is tiled from its start; a last clip of fewer"
        f" frames is {last}; where frames are missing {short}"
    )


def _describe_steps(loaded: SavedRun) -> dict[str, str]:
    """Return how many clips made a step, and the learning rate that followed."""
    run, optim = loaded.config.run, loaded.config.optim
    ranks = _count_ranks(loaded.folder)
    n_clips = run.batch_size * run.accumulate * ranks
    parts = [f"batch {run.batch_size}"]
    parts += [f"{run.accumulate} accumulated"] if run.accumulate > 1 else []
    parts += [f"{ranks} ranks"] if ranks > 1 else []
    rate = f"{optim.lr:g}"
    if optim.scale_lr:
        rate += f" for {REFERENCE_BATCH} clips a step, {scale_rate(optim, n_clips):g} here"
    return {"clips a step": f"{n_clips}: {', '.join(parts)}", "learning rate": rate}


def _count_ranks(folder: RunFolder) -> int:
    """Return on how many ranks a run was started last, 1 if nothing is told of its starts."""
    if not folder.environment.is_file():
        return 1
    try:
        return int(folder.read_json(folder.environment)["starts"][-1]["ranks"])
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise TrainError(f"{folder.environment} does not tell the ranks: {error!r}") from error


def _format_source(loaded: SavedRun) -> list[str]:
    config, data = loaded.config, loaded.data
    facts: dict[str, Any] = {
        "data set": data.name,
        "fingerprint of the data": f"`{data.fingerprint}`",
        "split": config.data.split,
        "run, checkpoint": f"{loaded.folder.path.resolve().name}, {loaded.checkpoint.name}",
        "epochs": f"{loaded.epoch} of {config.optim.epochs}",
        "backbone": config.model.backbone,
        "attention": f"{config.model.attention.score}, {config.model.attention.combine}, after"
        f" {', '.join(config.model.attach)}" if config.model.has_attention else "none",
        "clips": _describe_clips(config.data),
        **_describe_steps(loaded),
        "seed": config.run.seed,
    }  # fmt: skip
    return ["| | |", "| - | - |", *(f"| {name} | {value} |" for name, value in facts.items())]


def _find_terms(name: str) -> str:
    found = [terms for start, terms in DATA_TERMS.items() if name.startswith(start)]
    return found[0] if found else OTHER_TERMS
