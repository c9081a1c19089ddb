"""Who may import whom: read from the source, so that late imports count too."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PURE = ("toolkit.readers", "toolkit.bodies", "toolkit.align", "toolkit.clips", "toolkit.tracking")
# Who in train may use more of toolkit than the contract, and what: who draws or writes videos, and
# prediction, which reads what was never extracted.
BEYOND_THE_CONTRACT = {
    "train.attention": ["toolkit.video_file"],
    "train.attention_pictures": ["toolkit.drawing"],
    # A plug-in of the command estimate-poses: its errors are the command's.
    "train.keypoint_rcnn": ["toolkit.errors"],
    # The pages of train look and play as that of ctxtool report: docs/choices.md.
    "train.report_page": ["toolkit.page"],
    "train.run_story": ["toolkit.page"],
    # What is free for decoded pictures is what ctxtool doctor tells.
    "train.picture_cache": ["toolkit.memory"],
    "train.predict": [
        "toolkit.errors",
        "toolkit.poses.estimate",
        "toolkit.poses.estimators",
        "toolkit.recording",
        "toolkit.video_file",
    ],
    "train.prediction_video": [
        "toolkit.drawing",
        "toolkit.readers.picture",
        "toolkit.readers.video",
    ],
}
NOT_IN_PURE = ("toolkit.shards", "toolkit.build", "toolkit.cli", "click", "pandas", "h5py")


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(p): p for top in ("toolkit", "train") for p in (ROOT / top).rglob("*.py")}


def imported(source, package=""):
    """Return every module that a source text imports, wherever in the text the import stands.

    ``from a import b`` counts as ``a.b`` where b is one of our modules, else as ``a``.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level]
            base = ".".join([*above, *filter(None, [node.module])]) if node.level else node.module
            members = {f"{base}.{alias.name}" for alias in node.names}
            ours = {member for member in members if member in MODULES}
            names |= ours if ours == members else ours | {base}
    return names


@functools.cache
def imports_of(module):
    path = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return imported(path.read_text(), package)


def is_below(module, parents):
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


@functools.cache
def loaded_first(module):
    """Return what the head of a module's file imports, and its package."""
    lines = ast.parse(MODULES[module].read_text()).body
    heads = [ast.unparse(n) for n in lines if isinstance(n, ast.Import | ast.ImportFrom)]
    return imported("\n".join(heads)) | {module.rpartition(".")[0]} - {""}


def loaded_with(module):
    """Return what is loaded with a module: what the head of its file imports, and theirs."""
    found, todo = set(), {module}
    while todo:
        name = todo.pop()
        found.add(name)
        if name in MODULES:
            todo |= loaded_first(name)
        todo -= found
    return found


@pytest.mark.parametrize(
    ("source", "package", "found"),
    [
        ("import os.path", "", {"os.path"}),
        ("from toolkit import clips", "", {"toolkit.clips"}),
        ("from toolkit import clips, __version__", "", {"toolkit.clips", "toolkit"}),
        ("from toolkit.clips import tile", "", {"toolkit.clips"}),
        ("def f():\n    import torch", "", {"torch"}),
        ("if TYPE_CHECKING:\n    from torch import nn", "", {"torch"}),
        ("from .reader import Window", "toolkit.shards", {"toolkit.shards.reader"}),
        ("from . import reader", "toolkit.shards", {"toolkit.shards.reader"}),
        ("from ..clips import tile", "toolkit.shards", {"toolkit.clips"}),
        ("from .. import clips", "toolkit.shards", {"toolkit.clips"}),
    ],
)
def test_imports_are_read(source, package, found):
    assert imported(source, package) == found


def breaches(packages, *, but=(), only=None):
    """Return who below ``packages`` imports what they may not: ``but``, or all except ``only``."""
    return [
        f"{module} imports {name}"
        for module in MODULES
        if is_below(module, packages)
        for name in sorted(imports_of(module))
        if is_below(name, but) or (only is not None and not is_below(name, only))
    ]


@pytest.mark.parametrize("package", ["toolkit.shards", "toolkit.readers", "train.models"])
def test_all_modules_are_seen(package):
    assert len([m for m in MODULES if is_below(m, [package])]) > 3


def test_a_breach_is_seen():
    assert "toolkit.clips imports numpy" in breaches(["toolkit.clips"], but=["numpy"])
    assert "toolkit.clips imports numpy" in breaches(["toolkit.clips"], only=["numpy.typing"])


def test_toolkit_knows_nothing_of_training():
    assert not breaches(["toolkit"], but=["train", "torch", "torchvision", "tensorboard"])


def test_readers_and_pure_functions_know_nothing_of_storage_and_commands():
    assert not breaches(PURE, but=NOT_IN_PURE)


def test_the_contract_needs_five_packages_only():
    ours = (
        "toolkit.aligned",
        "toolkit.bounded",
        "toolkit.clips",
        "toolkit.errors",
        "toolkit.skeleton",
        "toolkit.shards",
    )
    # pyarrow is what pandas reads Parquet with.
    packages = ("numpy", "h5py", "pandas", "pyarrow", "cv2")
    found = breaches(["toolkit.shards"], only=(*ours, *packages, *sys.stdlib_module_names))
    # Late, and only where frames are stored as H.264.
    decoder = ("av", "av.video.reformatter", "toolkit.pyav")
    assert found == [f"toolkit.shards.h264 imports {name}" for name in decoder]


def test_what_the_contract_stands_on_needs_numpy_only():
    names = ("aligned", "bounded", "clips", "errors", "skeleton")
    below = [f"toolkit.{name}" for name in names]
    assert not breaches(below, only=("numpy", "toolkit.skeleton", *sys.stdlib_module_names))


def test_training_knows_of_toolkit_the_contract_only():
    others = [
        m for m in MODULES if is_below(m, ["toolkit"]) and not is_below(m, ["toolkit.shards"])
    ]
    found = breaches(["train"], but=[m for m in others if m != "toolkit"])
    allowed = {f"{m} imports {name}" for m, names in BEYOND_THE_CONTRACT.items() for name in names}
    assert set(found) == allowed


def test_nothing_is_pickled_to_disk():
    assert not breaches(["toolkit", "train"], but=["pickle", "dill", "cloudpickle"])


def loaded_by(statement):
    code = f"import sys; {statement}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    return set(run.stdout.decode().split())


def test_reading_shards_loads_no_decoder_and_no_command_line():
    assert not loaded_by("import toolkit.shards") & {"av", "click", "joblib", "simplejpeg", "torch"}


def test_a_bare_toolkit_loads_nothing_else():
    assert not loaded_by("import toolkit") & {"numpy", "h5py", "pandas", "cv2", "av"}


@pytest.mark.parametrize("command", ["train.run", "train.ablate"])
def test_a_wrong_option_of_a_training_loads_neither_torch_nor_tables(command):
    found = loaded_with(command)
    assert {"click", "train.config", "toolkit.shards.dataset"} <= found
    assert not {"torch", "pandas"} & found


# By then the command has loaded torch and trained.
LOADS_LATE_UNGUARDED = {"train.run: from train.report import write_report"}


def list_late_imports(module):
    """Return each late import of a module with whether it stands in ``with loading():``."""
    found, todo = [], [(node, False) for node in ast.parse(MODULES[module].read_text()).body]
    while todo:
        node, is_guarded = todo.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.append((ast.unparse(node), is_guarded))
        if isinstance(node, ast.With):
            is_guarded |= any(ast.unparse(item) == "loading()" for item in node.items)
        todo += [(child, is_guarded) for child in ast.iter_child_nodes(node)]
    return found


def test_what_loads_torch_late_heeds_signals_meanwhile():
    guarded = {
        f"{module}: {line}": is_guarded
        for module in (loaded_with("train.run") | loaded_with("train.ablate")) & set(MODULES)
        for line, is_guarded in list_late_imports(module)
        if any("torch" in loaded_with(name) for name in imported(line))
    }
    # train.run loads two such modules so, train.ablate and train.ablation one each.
    assert sum(guarded.values()) == 4
    assert {line for line, is_guarded in guarded.items() if not is_guarded} == LOADS_LATE_UNGUARDED
