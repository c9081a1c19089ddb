"""Do manifest and ``dataset.json`` say what the plan and the finished shards say."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd

from toolkit.build.outcomes import Told, join_outcomes
from toolkit.build.plan import Plan
from toolkit.shards.dataset import DatasetInfo, read_dataset_info
from toolkit.shards.schema import DATASET_FILE, MANIFEST_FILE
from toolkit.verify_shard import say_problem

Read = Callable[[], pd.DataFrame]


def iterate_manifest_problems(folder: Path, plan: Plan, results: Told, read: Read) -> Iterator[str]:
    """Yield a sentence for every column of the manifest that disagrees with plan and shards.

    ``results`` are the sidecars' rows of the samples whose shards could be trusted; the samples of
    other shards are not compared.  Raises ``ShardError`` when ``read`` cannot read the manifest.
    """
    path = folder / MANIFEST_FILE
    # Joined before the manifest is there: of 300,000 rows, each takes hundreds of megabytes.
    expected = _join(plan, results)
    manifest = read()
    yield from _id_problems(path, plan, manifest)
    if isinstance(expected, str):
        yield say_problem(path, "rows", "sidecars with values of the right types", expected)
    else:
        yield from _cell_problems(path, expected, manifest)


def _join(plan: Plan, results: Told) -> pd.DataFrame | str:
    """Return the rows that the manifest should have, or why there are none."""
    try:
        return join_outcomes(plan, results)
    except (TypeError, ValueError) as error:
        return repr(error)


def iterate_info_problems(folder: Path, plan: Plan, read: Read) -> Iterator[str]:
    """Yield what ``dataset.json`` says otherwise than the plan or than the manifest's counts.

    Raises ``ShardError`` when either file cannot be read.
    """
    path, info, header = folder / DATASET_FILE, read_dataset_info(folder), plan.header
    wanted: dict[str, object] = {
        "fingerprint": plan.fingerprint,
        "name": header.name,
        "toolkit_version": header.toolkit_version,
        "parameters": header.options.to_dict(),
        "layout": header.layout,
        "class_names": header.class_names,
        "splits": header.splits,
        "default_split": header.default_split,
    }
    for name, value in wanted.items():
        if getattr(info, name) != value:
            yield say_problem(path, name, value, getattr(info, name))
    yield from _count_problems(path, info, read())


def _count_problems(path: Path, info: DatasetInfo, manifest: pd.DataFrame) -> Iterator[str]:
    counted = {str(k): int(n) for k, n in manifest["status"].value_counts().items()}
    told = {name: n for name, n in info.counts.items() if name != "planned" and n}
    for name in sorted(counted.keys() | told.keys()):
        if counted.get(name, 0) != told.get(name, 0):
            yield say_problem(path, f"counts: {name}", counted.get(name, 0), told.get(name, 0))
    planned = info.counts.get("planned", 0)
    if planned != sum(told.values()):
        yield say_problem(
            path, "counts: planned", f"ok and all reasons, {sum(told.values())}", planned
        )


def _id_problems(path: Path, plan: Plan, manifest: pd.DataFrame) -> Iterator[str]:
    ids = manifest["sample_id"]
    twice = ids[ids.duplicated()]
    if len(twice):
        yield say_problem(path, f"sample {twice.iloc[0]}", "one row", "several")
    planned, listed = set(plan.ids), set(ids.to_numpy(object))
    yield from _some(path, sorted(planned - listed), "a row", "none")
    yield from _some(path, sorted(listed - planned), "only planned samples", "a row of another")


def _cell_problems(path: Path, expected: pd.DataFrame, manifest: pd.DataFrame) -> Iterator[str]:
    """Compare column by column, missing values equal to one another."""
    expected, actual = _select_common(expected, manifest)
    for name in expected.columns:
        if name in actual.columns and expected[name].equals(actual[name]):
            continue
        if name not in actual.columns:
            # A fact that no compared sample has may be missing from the manifest.
            if expected[name].notna().any():
                yield say_problem(path, f"column {name}", "the planned facts", "no such column")
            continue
        wanted, found = expected[name].astype(object), actual[name].astype(object)
        same = (wanted == found) | (wanted.isna() & found.isna())
        ids = list(expected.index[~same])
        if ids:
            place = f"column {name}: sample {ids[0]}{_more(len(ids) - 1)}"
            yield say_problem(path, place, wanted[ids[0]], found[ids[0]])


def _select_common(
    expected: pd.DataFrame, manifest: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the samples that both have, by their ids, in the same order."""
    alike = expected["sample_id"].equals(manifest["sample_id"])
    expected = expected.set_index("sample_id")
    if alike:
        return expected, manifest.set_axis(expected.index).drop(columns="sample_id")
    actual = manifest.drop_duplicates("sample_id").set_index("sample_id")
    both = expected.index.intersection(actual.index)
    return expected.loc[both], actual.loc[both]


def _some(path: Path, ids: Sequence[str], expected: str, found: str) -> Iterator[str]:
    if ids:
        yield say_problem(path, f"sample {ids[0]}{_more(len(ids) - 1)}", expected, found)


def _more(n: int) -> str:
    return f" and {n} more" if n else ""
