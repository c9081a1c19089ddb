"""The records of ``metrics.jsonl``, read for pictures and pages."""

import json
from pathlib import Path
from typing import Any

from train.errors import TrainError


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read metrics.jsonl; raises ``TrainError`` if it tells of no finished epoch.

    A bad line is named; a last one that a kill has cut short is left out.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise TrainError(f"{path} cannot be read: {error}") from error
    # What follows the last newline is empty or was never finished.
    records = [_parse_record(path, number, line) for number, line in enumerate(lines[:-1], 1)]
    if not any(record["kind"] == "epoch" for record in records):
        raise TrainError(f"{path} tells of no finished epoch yet")
    return records


def read_epochs(path: Path) -> list[dict[str, Any]]:
    """Read the epochs' records alone."""
    return [record for record in read_records(path) if record["kind"] == "epoch"]


def _parse_record(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
        return {"kind": record["kind"], **record}
    except (ValueError, KeyError, TypeError) as error:
        raise TrainError(
            f"{path}: line {number}: expected a JSON object with a kind, found {line[:60]!r}"
        ) from error
