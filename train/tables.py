"""The paper's experiments as one literal table: what each training changes, and what it reached."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True)
class Training:
    """One network trained once per seed: the settings that tell it from others.

    Everything else comes from the recipe.  ``split`` is None where the data set has only one.
    """

    id: str
    changes: Mapping[str, Any]
    split: str | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table: which trainings fill its columns, and the paper's numbers in percent."""

    label: str
    trainings: tuple[str, ...]
    paper: tuple[float, ...] = ()


@dataclass(frozen=True)
class Column:
    """A number of a row: which metric of which of the row's trainings."""

    title: str
    metric: str = "top1"
    training: int = 0


@dataclass(frozen=True)
class Table:
    """A table of the paper; ``data`` begins the name of the data set that it is about."""

    name: str
    title: str
    data: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def list_trainings(self) -> list[str]:
        """Return the ids of all trainings in the order of the rows, each once."""
        return list(dict.fromkeys(name for row in self.rows for name in row.trainings))


RGB = {"model.system": "rgb"}
SKELETON = {"model.system": "skeleton"}
CONCAT = {"model.system": "concat"}
SELF = {
    "model.system": "self-attention",
    "model.attach": ("gcn6",),
    "model.attention.self_gate": "channels",
    "model.attention.residual": True,
}
# The proposed network; the other rows of Tables 3 to 5 differ from it in one setting each.
CROSS = {
    "model.system": "cross-attention",
    "model.graph_variant": "spatial",
    "model.attach": ("gcn6",),
    "model.context_align": "avgpool",
    "model.attention.score": "mlp2",
    "model.attention.reduce": "mean",
    "model.attention.combine": "average",
    "model.attention.self_gate": "channels",
    "model.attention.residual": True,
    "model.attention.context_k": "spatial",
}

# Sections 6.1 to 6.3 of the specification: 13 + 8 + 4 trainings, and 5 that the paper leaves open.
_TRAININGS = (
    Training("KM-base", SKELETON),
    Training("KM-self", SELF),
    Training("KM-dot", CROSS | {"model.attention.score": "dot"}),
    Training("KM-mlp1", CROSS | {"model.attention.score": "mlp1"}),
    Training("KM-mlp2", CROSS),
    Training("KM-cross", CROSS | {"model.attention.combine": "cross_only"}),
    Training("KM-mult", CROSS | {"model.attention.combine": "multiplication"}),
    Training("KM-gc0", CROSS | {"model.attach": ("gcn0",)}),
    Training("KM-gc3", CROSS | {"model.attach": ("gcn3",)}),
    Training("KM-gc8", CROSS | {"model.attach": ("gcn8",)}),
    Training("KM-gc36", CROSS | {"model.attach": ("gcn3", "gcn6")}),
    Training("KM-rgb", RGB),
    Training("KM-concat", CONCAT),
    Training("NTU-rgb-xsub", RGB, "xsub"),
    Training("NTU-rgb-xview", RGB, "xview"),
    Training("NTU-skel-xsub", SKELETON, "xsub"),
    Training("NTU-skel-xview", SKELETON, "xview"),
    Training("NTU-concat-xsub", CONCAT, "xsub"),
    Training("NTU-concat-xview", CONCAT, "xview"),
    Training("NTU-cross-xsub", CROSS, "xsub"),
    Training("NTU-cross-xview", CROSS, "xview"),
    Training("K400-rgb", RGB),
    Training("K400-skel", SKELETON),
    Training("K400-concat", CONCAT),
    Training("K400-cross", CROSS),
    Training("KM-pooled", CROSS | {"model.attention.context_k": "pooled"}),
    Training("KM-max", CROSS | {"model.attention.reduce": "max"}),
    Training("KM-single", CROSS | {"model.attention.self_gate": "single"}),
    Training("KM-plain", CROSS | {"model.attention.residual": False}),
    Training("KM-release", CROSS | {"model.graph_variant": "release"}),
)
TRAININGS: Mapping[str, Training] = MappingProxyType({t.id: t for t in _TRAININGS})

_TOP = (Column("top-1"), Column("top-5", "top5"))
_VIEWS = (Column("cross-subject"), Column("cross-view", training=1))


def _ntu(name: str) -> tuple[str, str]:
    return f"NTU-{name}-xsub", f"NTU-{name}-xview"


# Percent, as printed in the paper.
_TABLES = (
    Table("3", "Attention methods, Kinetics-Motion", "kinetics-motion", _TOP, (
        Row("baseline (ST-GCN)", ("KM-base",), (81.22, 95.42)),
        Row("self-attention", ("KM-self",), (82.34, 95.32)),
        Row("cross-attention, dot product", ("KM-dot",), (84.05, 96.77)),
        Row("cross-attention, one-layer MLP", ("KM-mlp1",), (87.35, 98.12)),
        Row("cross-attention, two-layer MLP", ("KM-mlp2",), (88.16, 98.59)),
    )),
    Table("4", "How the two gates are combined, Kinetics-Motion", "kinetics-motion", _TOP, (
        Row("baseline (ST-GCN)", ("KM-base",), (81.22, 95.42)),
        Row("self-attention only", ("KM-self",), (82.34, 95.32)),
        Row("cross-attention only", ("KM-cross",), (87.82, 98.45)),
        Row("multiplication", ("KM-mult",), (87.95, 97.98)),
        Row("average", ("KM-mlp2",), (88.16, 98.59)),
    )),
    Table("5", "Where the module is inserted, Kinetics-Motion", "kinetics-motion", _TOP, (
        Row("baseline (ST-GCN)", ("KM-base",), (81.22, 95.42)),
        Row("after gcn0", ("KM-gc0",), (87.69, 98.05)),
        Row("after gcn3", ("KM-gc3",), (87.95, 98.18)),
        Row("after gcn6", ("KM-mlp2",), (88.16, 98.59)),
        Row("after gcn8", ("KM-gc8",), (84.05, 96.84)),
        Row("after gcn3 and gcn6", ("KM-gc36",), (88.49, 98.05)),
    )),
    Table("6", "Systems, Kinetics-Motion", "kinetics-motion", _TOP, (
        Row("RGB-only", ("KM-rgb",), (82.77, 96.36)),
        Row("skeleton-only", ("KM-base",), (81.22, 95.42)),
        Row("RGB+skeleton, concatenated", ("KM-concat",), (86.00, 97.51)),
        Row("RGB+skeleton, cross-attention", ("KM-mlp2",), (88.16, 98.59)),
    )),
    Table("7", "Systems, NTU RGB+D", "ntu", _VIEWS, (
        Row("RGB-only", _ntu("rgb"), (76.30, 79.71)),
        Row("skeleton-only", _ntu("skel"), (80.05, 83.26)),
        Row("RGB+skeleton, concatenated", _ntu("concat"), (81.54, 84.61)),
        Row("RGB+skeleton, cross-attention", _ntu("cross"), (84.23, 89.27)),
    )),
    Table("9", "Systems, Kinetics", "kinetics", _TOP, (
        Row("RGB-only", ("K400-rgb",), (32.95, 59.85)),
        Row("skeleton-only", ("K400-skel",), (25.50, 46.20)),
        Row("RGB+skeleton, concatenated", ("K400-concat",), (38.43, 64.98)),
        Row("RGB+skeleton, cross-attention", ("K400-cross",), (39.90, 66.70)),
    )),
    Table("extra", "What the paper leaves open, Kinetics-Motion", "kinetics-motion", _TOP, (
        Row("cross-attention, two-layer MLP", ("KM-mlp2",), (88.16, 98.59)),
        Row("one context vector a frame (pooled)", ("KM-pooled",)),
        Row("maximum over the context", ("KM-max",)),
        Row("f_self one number a joint", ("KM-single",)),
        Row("without the residual", ("KM-plain",)),
        Row("graph partition as released", ("KM-release",)),
    )),
)  # fmt: skip
TABLES: Mapping[str, Table] = MappingProxyType({table.name: table for table in _TABLES})
PAPER_TABLES = tuple(name for name in TABLES if name != "extra")


def select_tables(wanted: Sequence[str], data: str, *, extra: bool = False) -> list[Table]:
    """Return tables by name, each once; ``all`` means those about a data set called ``data``.

    ``extra`` adds the rows that the paper leaves open, where they are about that data set.
    Raises ``ValueError`` for an unknown table, or when none is about the data set.
    """
    unknown = [name for name in wanted if name != "all" and name not in TABLES]
    if unknown:
        known = ", ".join(TABLES)
        raise ValueError(f"there is no table {unknown[0]}; choose one of {known} or all")
    about = [name for name in PAPER_TABLES if is_about(TABLES[name], data)]
    named = [about if name == "all" else [name] for name in wanted]
    chosen = list(dict.fromkeys(itertools.chain.from_iterable(named)))
    if not chosen:
        raise ValueError(
            f"no table of the paper is about the data set {data}; choose one by number to run it"
            " there all the same"
        )
    about_motion = any(TABLES[name].data == TABLES["extra"].data for name in chosen)
    if extra and about_motion and "extra" not in chosen:
        chosen.append("extra")
    return [TABLES[name] for name in chosen]


def is_about(table: Table, data: str) -> bool:
    """Say whether the paper's numbers of a table are about a data set of this name."""
    return data == table.data or (table.data == "ntu" and data.startswith("ntu"))
