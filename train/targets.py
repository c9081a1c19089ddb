"""Files that a command line names to be written: refused before any work, not after it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from train.errors import TrainError


def check_target(
    _context: click.Context, _option: click.Parameter, path: Path | None
) -> Path | None:
    """Refuse, as a callback of click, a file in a folder that is not there."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {path.parent}: make it first")
    return path


def check_video_target(
    context: click.Context, option: click.Parameter, path: Path | None
) -> Path | None:
    """Refuse, as a callback of click, a name that does not say what the file will be."""
    if path is not None and path.suffix.lower() != ".mp4":
        raise click.BadParameter(f"a video is written as .mp4, not as {path.name}")
    return check_target(context, option, path)


def refuse_replacing(
    targets: Mapping[str, Path | None], inputs: Iterable[Path], *, overwrite: bool
) -> None:
    """Raise unless each target, by its option, is a new file, or one that may be replaced.

    An input, which is there, never may: ``click.UsageError``.  Another file may with
    ``overwrite``, else ``TrainError``.
    """
    sources = [path.resolve() for path in inputs]
    taken: set[Path] = set()
    for option, target in targets.items():
        if target is None:
            continue
        place = target.resolve()
        if any(_is_within(place, source) for source in sources):
            raise click.UsageError(f"{option} {target} is an input: name another file")
        if place in taken:
            raise click.UsageError(f"{' and '.join(targets)} name the same file, {target}")
        if target.exists() and not overwrite:
            raise TrainError(
                f"{target} is there: name another file with {option}, or add --overwrite"
            )
        taken.add(place)


def _is_within(target: Path, source: Path) -> bool:
    """Tell whether writing to a target would change a source, a file or all of a folder."""
    return source in target.parents or (target.exists() and target.samefile(source))
