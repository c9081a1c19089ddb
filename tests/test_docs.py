"""The documentation against the code: commands, columns, reasons, examples, links."""

import ast
import importlib.util
import json
import re
from pathlib import Path

import click
import pytest
from builders import pose_person, write_kinetics_json, write_openpose_folder
from click.testing import CliRunner
from doc_pages import (
    PAGES,
    ROOT,
    anchors,
    blocks,
    code_names,
    inline_commands,
    read,
    sections,
    shell_lines,
    simple_commands,
    table_rows,
)
from shard_builders import MadeDataset, write_dataset

from toolkit import errors
from toolkit.build.options import BuildOptions
from toolkit.build.regroup import list_kinetics_motion, regroup_options
from toolkit.build.run import BuildSettings, plan_build, run_build
from toolkit.cli import cli
from toolkit.datasets.kinetics import list_kinetics
from toolkit.datasets.ntu import count_splits, list_ntu
from toolkit.datasets.openpose import list_openpose, read_layout
from toolkit.readers.picture import scaled_size
from toolkit.shards import LAYOUTS, read_manifest
from toolkit.shards.manifest import COLUMNS
from toolkit.shards.schema import tables
from toolkit.synthesis import SynthesisOptions, synthesize_kinetics, synthesize_ntu

EXTRACTIONS = ("extract-ntu", "extract-kinetics", "build-kinetics-motion", "extract-openpose")

# Base classes whose own reason no recording gets, and a table that stops the command.
NEVER_A_STATUS = {"error", "bad_file", "bad_table"}
REASON = re.compile(
    r"(?:bad|missing|no|unknown|listed|too|input)_[a-z]+|misaligned|crashed|timeout|out_of_memory"
)


def commands(group: click.Group = cli, before: str = "") -> dict[str, click.Command]:
    """Return every command by its whole name, groups left out."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found |= commands(command, f"{before}{name} ")
        else:
            found[before + name] = command
    return found


def options(command: click.Command) -> dict[str, click.Option]:
    return {p.opts[0]: p for p in command.params if isinstance(p, click.Option)}


def shown_default(option: click.Option) -> str:
    """Return an option's default as the tables of docs/commands.md have it."""
    if option.is_flag:
        return "off"
    plain = isinstance(option.default, int | float | str | Path)
    return str(option.default) if plain else "–"


def documented_options(name: str) -> dict[str, str]:
    """Return option -> default from the tables that docs/commands.md has for a command."""
    pages = sections(read("commands.md"))
    text = pages[f"ctxtool {name}"]
    if name in EXTRACTIONS:
        text += pages["Options of every extraction"]
    if name.startswith("synthesize"):
        text += pages["Options of both synthesize commands"]
    rows = [row for row in table_rows(text) if row[0].startswith("`--")]
    assert len({row[0] for row in rows}) == len(rows)
    return {code_names(row[0])[0].split()[0]: row[1] for row in rows}


@pytest.mark.parametrize("name", commands())
def test_every_option_is_documented_with_its_default(name):
    expected = {o: shown_default(option) for o, option in options(commands()[name]).items()}
    assert documented_options(name) == expected


def test_every_command_has_a_section_and_no_other_has():
    headings = [heading for heading in sections(read("commands.md")) if "ctxtool" in heading]
    assert sorted(headings) == sorted(f"ctxtool {name}" for name in commands())


def test_options_of_the_program_itself_are_documented():
    rows = table_rows(sections(read("commands.md"))["Everywhere"])
    documented = {name for row in rows for name in code_names(row[0]) if name.startswith("-")}
    group = {name for p in cli.params for name in p.opts}
    assert documented == group | {"-h", "--help"}


@pytest.mark.parametrize("name", commands())
def test_every_choice_of_an_option_is_documented(name):
    # Those of --allow are the reasons, told beside the manifest.
    pages = read("commands.md") + read("manifest.md")
    for option in options(commands()[name]).values():
        if isinstance(option.type, click.Choice):
            missing = [choice for choice in option.type.choices if f"`{choice}`" not in pages]
            assert not missing, f"{option.opts[0]}: {missing}"


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_has_help(name):
    command = commands()[name]
    assert command.help
    assert [o for o, option in options(command).items() if not option.help] == []


def exit_codes() -> set[int]:
    """Return the values of all constants EXIT_... of the command line."""
    text = "".join(p.read_text() for p in (ROOT / "toolkit").glob("c*/*.py"))
    text += (ROOT / "toolkit" / "cli.py").read_text()
    return {int(value) for value in re.findall(r"^EXIT_\w+ = (\d+)", text, re.MULTILINE)}


def test_every_exit_status_is_documented():
    rows = table_rows(sections(read("commands.md"))["Everywhere"])
    documented = {int(row[0]) for row in rows if row[0].isdigit()}
    assert documented == exit_codes() | {0, 2}


def error_reasons(kind: type[errors.SampleError] = errors.SampleError) -> set[str]:
    return {kind.reason}.union(*map(error_reasons, kind.__subclasses__()))


def listed_reasons() -> set[str]:
    """Return the texts of the code that read like a reason."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "toolkit").rglob("*.py")]
    texts = [
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return {text for text in texts if REASON.fullmatch(text)}


def test_every_reason_is_documented_and_no_other_is():
    rows = table_rows(sections(read("manifest.md"))["Reasons"])
    documented = [name for row in rows for name in code_names(row[0])]
    assert len(set(documented)) == len(documented)
    assert set(documented) == (error_reasons() | listed_reasons()) - NEVER_A_STATUS


def documented_columns() -> dict[str, str]:
    """Return manifest column -> pandas type."""
    rows = table_rows(sections(read("manifest.md"))["Columns"])
    # The second table has the data set in front.
    pairs = [row[:2] if row[0].startswith("`") else row[1:3] for row in rows]
    return {name: kind for names, kind in pairs for name in code_names(names)}


def test_every_fixed_column_of_the_manifest_is_documented_with_its_type():
    documented = documented_columns()
    assert {name: documented.get(name) for name in COLUMNS} == COLUMNS


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Manifests of every kind of data set, poses alone."""
    folder = tmp_path_factory.mktemp("docs")
    small = SynthesisOptions(n_train=1, n_test=1, n_frames=2, size=(16, 16))
    synthesize_ntu(folder / "ntu", small)
    synthesize_kinetics(folder / "kinetics", small)
    write_openpose_folder(folder / "own", [[pose_person()]] * 2)
    (folder / "my.csv").write_text("id,label,split,poses\na,jump,train,own\n")
    by_time = {"align": "time", "bodies": "frame", "skeleton_only": True}
    ntu = BuildOptions(source="ntu", align="frame", bodies="denoise", skeleton_only=True)
    kinetics, own = (BuildOptions(source=s, **by_time) for s in ("kinetics", "openpose"))
    out = folder / "out-kinetics"
    return [
        build_manifest(list_ntu(folder / "ntu", None), ntu, folder / "out-ntu"),
        build_manifest(list_kinetics(folder / "kinetics", None), kinetics, out),
        build_manifest(list_kinetics_motion(out), regroup_options(out, 64), folder / "out-motion"),
        build_manifest(list_openpose(folder / "my.csv", videos=False), own, folder / "out-own"),
    ]


def build_manifest(data, options, out):
    settings = BuildSettings(out)
    run_build(plan_build(data, options, settings), settings, lambda rows: None)
    return read_manifest(out)


def test_every_column_that_a_build_writes_is_documented_and_no_other_is(manifests):
    written = {column for manifest in manifests for column in manifest.columns}
    named = {c for c in written if not c.startswith("split_")}
    assert named | {"split_NAME"} == documented_columns().keys()
    assert [c for c in written if c not in named and f"`{c}`" not in read("manifest.md")] == []


def test_types_of_facts_are_as_documented(manifests):
    documented = documented_columns()
    for manifest in manifests:
        facts = [c for c in manifest.columns if c not in COLUMNS and not c.startswith("split_")]
        assert {c: str(manifest[c].dtype) for c in facts} == {c: documented[c] for c in facts}


def test_every_table_of_a_shard_is_documented_with_its_type():
    rows = {code_names(row[0])[0]: row[1] for row in table_rows(read("shard-format.md")) if "/" in
            row[0] and row[0].startswith("`")}  # fmt: skip
    wanted = tables(LAYOUTS["ntu25"], "h264")
    kinds = {"<i8": "int64", "<i4": "int32", "<f4": "float32", "|u1": "uint8", "<u4": "uint32"}
    assert rows.keys() == wanted.keys()
    assert {n: k for n, k in rows.items() if n != "sample/id"} == {
        n: kinds[t.dtype] for n, t in wanted.items() if n != "sample/id"
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_bytes_of_a_frame_are_as_documented(name):
    layout = LAYOUTS[name]
    sizes = {"<i8": 8, "<i4": 4, "<f4": 4, "|u1": 1}
    n_bytes = 0
    for table in tables(layout).values():
        if table.first in ("F", "F+1"):
            n_values = 1
            for n in table.rest:
                n_values *= n
            n_bytes += sizes[table.dtype] * n_values
    expected = [f"`{name}`", str(layout.n_joints), " ".join(layout.channels), str(n_bytes)]
    assert expected in table_rows(read("shard-format.md"))


def test_stored_sizes_are_as_documented():
    rows = table_rows(sections(read("pipeline.md"))["Stored pictures"])[1:]
    for videos, stored in rows:
        for video in videos.split(", "):
            width, height = map(int, video.split("x"))
            assert "{}x{}".format(*scaled_size(width, height, 128)) == stored


def test_published_counts_are_those_counted_from_the_names():
    rows = table_rows(read("recipes.md"))
    for c in count_splits():
        left = f"{c.train_present:,} / {c.test_present:,} ({c.missing} missing)"
        numbers = [f"{n:,}" for n in (c.recordings, c.train, c.test)]
        assert [c.dataset, numbers[0], c.split, *numbers[1:], left] in rows


@pytest.mark.parametrize(
    "page", [p for p in PAGES if "```python" in p.read_text("utf-8")], ids=lambda page: page.name
)
def test_python_examples_run(page, tmp_path, monkeypatch, capsys):
    """Run a page's examples one after the other beside a small data set out/ntu60."""
    examples = blocks(page.read_text(encoding="utf-8"), "python")
    write_dataset(tmp_path / "out" / "ntu60")
    write_dataset(tmp_path / "out" / "ntu60-h264", made=MadeDataset(codec="h264"))
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for line, code in examples:
        exec(compile("\n" * (line - 1) + code, str(page), "exec"), names)
    assert capsys.readouterr().out


def check_ctxtool(words: list[str]) -> None:
    """Raise click's own usage error unless command, options and values exist."""
    command: click.Command = cli
    context = click.Context(cli, info_name="ctxtool")
    words = [word for word in words if word not in ("-v", "--help", "-h", "--version")]
    while isinstance(command, click.Group) and words:
        name, *words = words
        found = command.get_command(context, name)
        assert found is not None, f"no command {name}"
        command = found
    context = click.Context(command, info_name=command.name)
    values, rest, _ = command.make_parser(context).parse_args(list(words))
    assert not rest, rest
    for param in command.params:
        if values.get(param.name) is not None and not isinstance(param.type, click.Path):
            param.type_cast_value(context, values[param.name])


def check_command(words: list[str]) -> None:
    program, *rest = words
    if program == "ctxtool":
        check_ctxtool(rest)
    elif program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        goals = [word for word in rest if "=" not in word]
        assert all(re.search(rf"^{goal}:", makefile, re.MULTILINE) for goal in goals), goals
    elif program == "python" and rest[:1] == ["-m"]:
        assert importlib.util.find_spec(rest[1]), rest[1]
    elif program == "python" and rest and rest[0].endswith(".py"):
        assert (ROOT / rest[0]).is_file(), rest[0]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_name_what_exists(page):
    for line in [*shell_lines(page), *inline_commands(page)]:
        for words in simple_commands(line):
            try:
                check_command(words)
            except (click.ClickException, AssertionError) as error:
                pytest.fail(f"{line.strip()}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "ctxtool extract-ntu --no-such-option",
        "ctxtool extract-everything",
        "ctxtool extract-ntu --split nothing",
        "ctxtool verify a b",
        "make coffee",
        "ctxtool inspect && ctxtool inspect --nothing",
    ],
)
def test_a_wrong_command_line_would_be_noticed(line):
    with pytest.raises((click.ClickException, AssertionError)):
        for words in simple_commands(line):
            check_command(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(there), f"{page.name}: {target}"


def test_every_page_can_be_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in re.findall(r"\]\(([^)\s#:]+\.md)", page.read_text(encoding="utf-8")):
            there = (page.parent / target).resolve()
            if there.exists() and there not in reached:
                waiting.append(there)
    assert sorted(p.name for p in set(PAGES) - reached) == []


@pytest.fixture
def own_recordings(tmp_path):
    """The table and layout of docs/pipeline.md with tiny files for everything they name."""
    page = read("pipeline.md")
    (_, table), (_, layout) = blocks(page, "csv")[0], blocks(page, "json")[0]
    (tmp_path / "my.csv").write_text(table)
    (tmp_path / "my-joints.json").write_text(layout)
    (tmp_path / "videos").mkdir()
    return tmp_path


def test_the_example_table_lists_its_recordings_with_both_splits(own_recordings):
    data = list_openpose(own_recordings / "my.csv")
    assert data.class_names == ("jump", "squat")
    assert data.splits == ("split", "fold1")
    assert dict(data.samples[2].subsets) == {"split": "test", "fold1": "train"}


def test_the_example_table_is_extracted(own_recordings, monkeypatch):
    for name in ("squat-01", "squat-02"):
        write_openpose_folder(own_recordings / "poses" / name, [[pose_person()]] * 3)
    write_kinetics_json(own_recordings / "poses" / "jump-01.json", [[pose_person()]] * 3)
    arguments = ("--table", "my.csv", "--skeleton-only", "--jobs", "1")
    monkeypatch.chdir(own_recordings)
    ran = CliRunner().invoke(cli, ["extract-openpose", *arguments])
    assert (ran.exit_code, "3 planned = 3 ok" in ran.output) == (0, True), ran.output


def test_the_example_layout_is_one(own_recordings):
    layout = read_layout(own_recordings / "my-joints.json")
    assert (layout.name, layout.n_joints, layout.mirrored().tolist()) == (
        "stick5",
        5,
        [0, 2, 1, 4, 3],
    )


def test_dataset_json_holds_the_documented_keys(tmp_path):
    rows = table_rows(sections(read("manifest.md"))["dataset.json"])
    documented = {name for row in rows[1:] for name in code_names(row[0])}
    write_dataset(tmp_path / "out")
    assert documented == json.loads((tmp_path / "out" / "dataset.json").read_text()).keys()
