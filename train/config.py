"""All settings of a training: typed, from a recipe file, changed from the command line."""

import importlib
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from train.data_config import DataConfig
from train.errors import TrainError
from train.model_config import ModelConfig
from train.schedule import OptimConfig

# Python 3.10 has no TOML of its own; its stand-in has the same functions.
toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")

RECIPES = Path(__file__).parent / "recipes"

CHOICES = {
    "amp": ("off", "bf16"),
    "compile": ("off", "default", "reduce-overhead", "max-autotune"),
    "missing_classes": ("error", "allow"),
    "cache": ("off", "raw"),
}
# These change how a run goes, not what comes out: they may differ when it is resumed.
FREE_ON_RESUME = (
    "run.workers",
    "run.device",
    "run.log_every",
    "run.checkpoint_every",
    "run.keep_last",
    "run.tensorboard",
    "run.skip_bad",
    "run.cache",
)
# What assignments of values that are no texts are called.
_WRITTEN_AS = {int: "a whole number", float: "a number", bool: "true or false"}
_TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class RunConfig:
    """How the training runs on the machine.

    - ``batch_size`` clips on each rank at a time; ``accumulate`` such batches make one step
    - ``workers`` reading processes a rank, as many as fit the cores when None
    - ``threads`` of torch on a CPU, its own choice with 0
    - ``device``: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``
    - ``amp``: ``bf16`` computes in bfloat16 where it is safe; ``compile``: a mode of torch.compile
    - ``channels_last``: memory order of convolutions' weights on a GPU
    - ``sync_norms``: batch norm over all ranks instead of each for itself (GPU only)
    - ``ema``: decay of a moving average of the weights, which is then validated; 0 is off
    - ``validate_every`` epochs, ``log_every`` steps; ``checkpoint_every`` steps besides every
      epoch, 0 is off; ``keep_last`` checkpoints stay
    - ``missing_classes``: ``error`` or ``allow`` classes without any training sample
    - ``skip_bad``: leave out samples that cannot be read, told and counted, instead of stopping
    - ``cache``: ``raw`` keeps all pictures decoded, in a temporary file mapped into memory; each
      rank has its own

    Raises ``ValueError`` for values that make no sense.
    """

    batch_size: int = 128
    accumulate: int = 1
    seed: int = 0
    workers: int | None = None
    threads: int = 0
    device: str = "auto"
    amp: str = "off"
    compile: str = "off"
    channels_last: bool = True
    sync_norms: bool = False
    ema: float = 0.0
    validate_every: int = 1
    log_every: int = 20
    checkpoint_every: int = 0
    keep_last: int = 2
    tensorboard: bool = True
    missing_classes: str = "error"
    skip_bad: bool = False
    cache: str = "off"

    def __post_init__(self) -> None:
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                wanted = ", ".join(allowed)
                raise ValueError(f"{name} must be one of {wanted}; got {getattr(self, name)!r}")
        for name in ("batch_size", "accumulate", "validate_every", "log_every", "keep_last"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("seed", "threads", "checkpoint_every", "workers"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must be in [0, 1), got {self.ema}")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a training, besides the data set and the number of ranks."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """Build from nested values, defaults for those not given.

        Raises ``ValueError`` naming the field that is unknown, of another kind or not allowed.
        """
        return _fill(cls, values, "")

    def replaced(self, values: Mapping[str, Any]) -> "TrainConfig":
        """Return a copy with other values, by names such as ``optim.lr``."""
        tree = self.to_dict()
        for name, value in values.items():
            _put(tree, name, value)
        return TrainConfig.from_dict(tree)


def list_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))


def read_recipe(name: str) -> TrainConfig:
    """Read a recipe by its name or a TOML file; raises ``TrainError`` saying what is wrong."""
    known = list_recipes()
    path = RECIPES / f"{name}.toml" if name in known else Path(name)
    if not path.is_file():
        raise TrainError(f"{name} is neither a TOML file nor one of {', '.join(known)}")
    try:
        return TrainConfig.from_dict(toml.loads(path.read_text(encoding="utf-8")))
    # The errors of TOML and of text decoding are ValueErrors.
    except ValueError as error:
        raise TrainError(f"recipe {path}: {error}") from error


def choose_recipe(dataset: str, split: str) -> str:
    """Return the paper's recipe for a data set, by its name and split."""
    if dataset.startswith("ntu"):
        return "paper-ntu-xview" if split == "xview" else "paper-ntu-xsub"
    return "paper-kinetics-motion" if dataset == "kinetics-motion" else "paper-kinetics"


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``section.field=value`` texts as the kind each field holds.

    Texts and lists are written as in TOML; quotes and brackets may be left out, ``none`` is
    nothing.
    Raises ``ValueError`` naming the text that cannot be read.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ValueError(f"{text!r} must read section.field=value")
        kind = _find_kind(name.strip())
        try:
            values[name.strip()] = _read_text(kind, value.strip())
        except ValueError as error:
            raise ValueError(f"{text!r} holds no value that can be read: {error}") from error
    return values


def list_differences(one: TrainConfig, other: TrainConfig) -> list[str]:
    """Name the settings in which two configurations differ, as ``name: one, other``."""
    a, b = _flatten(one.to_dict()), _flatten(other.to_dict())
    return [f"{name}: {a[name]}, {b[name]}" for name in a if a[name] != b[name]]


def _flatten(tree: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        below = _flatten(value, f"{above}{name}.") if isinstance(value, dict) else None
        flat |= {f"{above}{name}": value} if below is None else below
    return flat


def _fill(kind: type[Any], values: object, where: str) -> Any:
    """Build a dataclass, its fields checked against their annotations."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where.rstrip('.') or 'the recipe'} must be a section of settings")
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise ValueError(_unknown(f"{where}{name}", [f"{where}{known}" for known in hints]))
    given = {name: _convert(hints[name], v, f"{where}{name}") for name, v in values.items()}
    try:
        return kind(**given)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _convert(hint: Any, value: Any, name: str) -> Any:
    hint, optional = _strip_optional(hint)
    if value is None and optional:
        return None
    if is_dataclass(hint):
        return _fill(hint, value, f"{name}.")  # type: ignore[arg-type]
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} must be a list, got {value!r}")
        return tuple(_convert(get_args(hint)[0], item, name) for item in value)
    fits = isinstance(value, int | float if hint is float else hint)
    if not fits or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} must be {hint.__name__}, got {value!r}")
    return hint(value)


def _strip_optional(hint: Any) -> tuple[Any, bool]:
    if get_origin(hint) in (Union, types.UnionType):
        return next(a for a in get_args(hint) if a is not type(None)), True
    return hint, False


def _read_text(hint: Any, text: str) -> Any:
    hint, optional = _strip_optional(hint)
    if optional and text.lower() == "none":
        return None
    if get_origin(hint) is tuple:
        item = get_args(hint)[0]
        if item is not str:
            text = text.removeprefix("[").removesuffix("]")
        if not text.startswith("["):
            return [_read_text(item, part.strip()) for part in text.split(",") if part.strip()]
    if hint in _WRITTEN_AS:
        return _read_plain(hint, text)
    if hint is str and not text.startswith(('"', "'")):
        return text
    return toml.loads(f"value = {text}")["value"]


def _read_plain(hint: Any, text: str) -> float | bool:
    """Read a number, also such as ``.5``, which is none in TOML, or a truth value."""
    try:
        return _TRUTH[text.lower()] if hint is bool else hint(text)
    except (KeyError, ValueError) as error:
        raise ValueError(f"expected {_WRITTEN_AS[hint]}, found {text or 'nothing'}") from error


def _find_kind(name: str) -> Any:
    """Return the annotation of a field by its dotted name."""
    hint: Any = TrainConfig
    for part in name.split("."):
        hints = get_type_hints(hint) if is_dataclass(hint) else {}
        if part not in hints:
            raise ValueError(_unknown(name, list(_flatten(TrainConfig().to_dict()))))
        hint = hints[part]
    if is_dataclass(hint):
        inside = ", ".join(f"{name}.{inner.name}" for inner in fields(hint))
        raise ValueError(f"{name} is a section; set one of {inside}")
    return hint


def _unknown(name: str, known: list[str]) -> str:
    last = name.rpartition(".")[2]
    near = get_close_matches(name, known, 3) or [k for k in known if k.endswith(f".{last}")]
    return f"there is no setting {name}; " + (
        f"did you mean {' or '.join(near)}?" if near else f"those are {', '.join(known)}"
    )


def _put(tree: dict[str, Any], name: str, value: Any) -> None:
    _find_kind(name)
    *sections, field = name.split(".")
    for section in sections:
        tree = tree[section]
    tree[field] = value
