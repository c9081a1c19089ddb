"""The plan on disk: one Parquet table, its header in the table's metadata."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.build.options import BuildOptions
from toolkit.build.plan import Plan, PlanHeader
from toolkit.build.plan_table import BASE
from toolkit.build.planned import Stamp
from toolkit.errors import ShardError
from toolkit.shards.files import write_atomically
from toolkit.shards.parquet import read_table
from toolkit.shards.schema import PLAN_FILE
from toolkit.skeleton import SkeletonLayout

PLAN_VERSION = 2
_CURE = "choose another --out, or --overwrite"
_WANTED = f"a build plan (damaged ones are not guessed at: {_CURE})"


def write_plan(plan: Plan, folder: Path) -> None:
    """Store the plan in the output folder, whole or not at all."""
    header = asdict(plan.header) | {"layout": plan.header.layout.to_dict()}
    about = {"ctxtool": json.dumps(header), "ctxtool plan": str(PLAN_VERSION)}
    table = plan.table.replace_schema_metadata(about)
    write_atomically(folder / PLAN_FILE, lambda aside: pq.write_table(table, aside))


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of an output folder, None where there is none yet; ``ShardError`` if bad."""
    path = folder / PLAN_FILE
    if not path.exists():
        return None
    # Before: a file that is replaced meanwhile must not pass for the one that was read.
    stored = Stamp.of(path)
    table = read_table(path, _WANTED)
    try:
        about = table.schema.metadata or {}
        header = json.loads(about[b"ctxtool"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ShardError(path, "content", expected=_WANTED, found=repr(error)) from error
    _refuse_other_version(path, about)
    try:
        return Plan(_parse_header(header), _check_columns(table), stored)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise ShardError(path, "content", expected=_WANTED, found=repr(error)) from error


def is_stored(plan: Plan, folder: Path) -> bool:
    """Tell whether an output folder holds this plan; read only if another file lies there now."""
    if plan.stored is not None and plan.stored == Stamp.of(folder / PLAN_FILE):
        return True
    return plan == read_plan(folder)


def _refuse_other_version(path: Path, about: dict[bytes, bytes]) -> None:
    found = about.get(b"ctxtool plan", b"1").decode("ascii", "replace")
    if found != str(PLAN_VERSION):
        expected = f"{PLAN_VERSION}, that of this ctxtool ({_CURE})"
        raise ShardError(path, "version", expected=expected, found=found)


def _parse_header(header: dict[str, Any]) -> PlanHeader:
    header["layout"] = SkeletonLayout.from_dict(header["layout"])
    header["options"] = BuildOptions(**header["options"])
    for name in ("class_names", "splits"):
        header[name] = tuple(header[name])
    return PlanHeader(**header)


def _check_columns(table: pa.Table) -> pa.Table:
    """Return the table without metadata; raises ``ValueError`` naming a column that is wrong."""
    for name, kind in BASE.items():
        if name not in table.column_names or table.schema.field(name).type != kind:
            raise ValueError(f"no column {name} of {kind}")
        if table[name].null_count:
            raise ValueError(f"a gap in the column {name}")
    return table.replace_schema_metadata(None)
