"""The plan on disk: one Parquet table, its header in the table's metadata."""

import json
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.build.options import BuildOptions
from toolkit.build.plan import Plan, PlanHeader, PlannedSample, Stamp
from toolkit.errors import ShardError
from toolkit.shards.files import write_atomically
from toolkit.shards.schema import PLAN_FILE
from toolkit.skeleton import SkeletonLayout

_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("sample_id", "label_name", "subsets", "facts")),
        *((name, pa.string()) for name in ("poses", "video", "reason", "detail")),
        *((name, pa.int64()) for name in ("label", "shard")),
        *((f"{f}_{n}", pa.int64()) for f in ("poses", "video") for n in ("bytes", "mtime_ns")),
        ("superseded", pa.bool_()),
    ]
)


def write_plan(plan: Plan, folder: Path) -> None:
    """Store the plan in the output folder, whole or not at all."""
    header = asdict(plan.header) | {"layout": plan.header.layout.to_dict()}
    table = pa.Table.from_pylist([_to_row(row) for row in plan.rows], schema=_SCHEMA)
    table = table.replace_schema_metadata({"ctxtool": json.dumps(header)})
    write_atomically(folder / PLAN_FILE, lambda aside: pq.write_table(table, aside))


def read_plan(folder: Path) -> Plan | None:
    """Return the plan of an output folder, None where there is none yet; ``ShardError`` if bad."""
    path = folder / PLAN_FILE
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        header = json.loads(table.schema.metadata[b"ctxtool"])
        header["layout"] = SkeletonLayout.from_dict(header["layout"])
        header["options"] = BuildOptions(**header["options"])
        for name in ("class_names", "splits"):
            header[name] = tuple(header[name])
        return Plan(PlanHeader(**header), tuple(map(_from_row, table.to_pylist())))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ShardError(path, "content", expected="a build plan", found=repr(error)) from error


def _to_row(row: PlannedSample) -> dict[str, Any]:
    stamps = {
        f"{name}{suffix}": value
        for name, stamp in (("poses", row.poses), ("video", row.video))
        for suffix, value in zip(("", "_bytes", "_mtime_ns"), astuple(stamp), strict=True)
    }
    plain = ("sample_id", "label", "label_name", "reason", "detail", "shard", "superseded")
    texts = {"subsets": json.dumps(row.subsets), "facts": json.dumps(row.facts)}
    return {name: getattr(row, name) for name in plain} | stamps | texts


def _from_row(row: dict[str, Any]) -> PlannedSample:
    stamps: dict[str, Any] = {
        name: Stamp(row.pop(name), row.pop(f"{name}_bytes"), row.pop(f"{name}_mtime_ns"))
        for name in ("poses", "video")
    }
    texts = {name: json.loads(row.pop(name)) for name in ("subsets", "facts")}
    return PlannedSample(**row, **stamps, **texts)
