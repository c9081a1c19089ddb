"""Fig. 6 of the paper: frames above, skeletons below with a circle at each joint for its weight."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.drawing import is_drawn
from toolkit.shards import BODIES
from train.attention_maps import ClipAttention, Scene
from train.pictures import DPI, new_figure

MAX_COLUMNS = 8
# Weights that differ by less look the same: noise must not be blown up to a pattern.
LEAST_SPREAD = 0.05
# Areas of circles in square points, of the lowest and the highest weight.
CIRCLES_PT2 = 6.0, 240.0
# Both run from blue through grey to yellow or orange, which colour-blind eyes tell apart.
WEIGHT_COLOURS, PLACE_COLOURS = "cividis", "PuOr_r"
PANEL, BONE, OUTLINE, INK = "#15171c", "#7d8694", "#f2f2f2", "#2b2f36"
MARGIN = 0.16
N_MARKS = 4
TITLES = {
    "self": "f_self",
    "cross": "f_cross",
    "combined": "g, both",
    "places": "score by place",
}


@dataclass(frozen=True)
class Scale:
    """Which weights get the smallest and the largest circle, the same in all frames."""

    low: float
    high: float

    def shares(self, weights: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return where weights lie between both ends, 0 to 1."""
        return np.clip((weights - self.low) / (self.high - self.low), 0, 1)

    def areas(self, weights: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
        """Return the areas of their circles in square points: even steps of weight, of area."""
        low, high = CIRCLES_PT2
        return low + (high - low) * self.shares(weights)


@dataclass(frozen=True)
class Figure6:
    """What all pictures of one module over some clips of one sample have in common."""

    clips: Sequence[ClipAttention]
    module: str
    scales: Mapping[str, Scale]
    place_limit: float

    @classmethod
    def of(
        cls, clips: Sequence[ClipAttention], module: str, scale: tuple[float, float] | None = None
    ) -> "Figure6":
        """Find scales that hold for all frames of the clips; ``scale`` sets one for every gate."""
        said = [clip.modules[module] for clip in clips]
        scales = {name: _find_scale(clips, module, name) for name in said[0].gates}
        if scale is not None:
            scales = dict.fromkeys(scales, Scale(*scale))
        places = [one.places for one in said if one.places is not None]
        limit = max((float(np.abs(one).max()) for one in places), default=0.0)
        return cls(clips, module, scales, limit or 1.0)

    @property
    def rows(self) -> list[str]:
        """What is drawn of each frame, from above."""
        has_scene = self.clips[0].scene is not None
        has_places = has_scene and self.clips[0].modules[self.module].places is not None
        above, below = ["picture"] * has_scene, ["places"] * has_places
        return [*above, *self.scales, *below]


def _find_scale(clips: Sequence[ClipAttention], module: str, gate: str) -> Scale:
    seen = [clip.modules[module].gates[gate][clip.present.any(0)].ravel() for clip in clips]
    weights = np.concatenate(seen) if any(map(len, seen)) else np.array([0.5])
    low, high = float(weights.min()), float(weights.max())
    spare = max(LEAST_SPREAD - (high - low), 0) / 2
    return Scale(low - spare, high + spare)


def draw_clip(figure6: Figure6, clip: ClipAttention, path: Path) -> None:
    """Draw one clip as PNG: a column for each frame of the module, at most eight."""
    middles = clip.middles(figure6.module)
    columns = np.unique(np.linspace(0, len(middles) - 1, MAX_COLUMNS).round().astype(int))
    columns = columns if len(middles) > MAX_COLUMNS else np.arange(len(middles))
    rows = figure6.rows
    figure = new_figure(1.9 * len(columns) + 1.6, 1.9 * len(rows) + 0.75)
    grid = figure.add_gridspec(
        len(rows), len(columns) + 1, width_ratios=[1.0] * len(columns) + [0.55],
        left=0.02, right=0.99, bottom=0.02, top=1 - 0.72 / (1.9 * len(rows) + 0.75),
        wspace=0.05, hspace=0.05,
    )  # fmt: skip
    for row, name in enumerate(rows):
        for place, column in enumerate(columns.tolist()):
            axes = figure.add_subplot(grid[row, place])
            draw_panel(axes, figure6, clip, (name, int(middles[column])))
            if row == 0:
                axes.set_title(f"frame {clip.span.start + middles[column]}", fontsize=8, color=INK)
        draw_legend(figure.add_subplot(grid[row, len(columns)]), figure6, name)
    figure.suptitle(describe_clip(clip, figure6.module), fontsize=10, color=INK)
    figure.savefig(path, dpi=DPI, format="png")


def describe_clip(clip: ClipAttention, module: str) -> str:
    """Return the title of a clip."""
    taken = f"taken for {clip.predicted} ({clip.probability:.0%})"
    where = ""
    if clip.scene_id != clip.sample_id:
        # In another scene it may well be of another class: what is right, nobody knows here.
        where = f" in the scene of {clip.scene_id}"
    else:
        right = clip.predicted == clip.class_name
        taken += ": right" if right else f": it is {clip.class_name}"
    return f"{clip.sample_id}{where}, clip {clip.number}, attention after {module}\n{taken}"


def iterate_frames(figure6: Figure6) -> Iterator[NDArray[np.uint8]]:
    """Yield every frame of the clips as a picture (H, W, 3) of even size, for a video."""
    rows = figure6.rows
    figure = new_figure(2.6 * len(rows) + 0.2, 3.36)
    grid = figure.add_gridspec(
        2, len(rows), height_ratios=[1, 0.2], left=0.01, right=0.99, bottom=0.02, top=0.8,
        wspace=0.04, hspace=0.04,
    )  # fmt: skip
    panels = [figure.add_subplot(grid[0, column]) for column in range(len(rows))]
    for column, name in enumerate(rows):
        draw_legend(figure.add_subplot(grid[1, column]), figure6, name, upright=False)
    title = figure.suptitle("", fontsize=10, color=INK)
    for clip in figure6.clips:
        for frame in range(clip.span.n_valid):
            for axes, name in zip(panels, rows, strict=True):
                axes.clear()
                draw_panel(axes, figure6, clip, (name, frame))
                axes.set_title(TITLES.get(name, f"frame {clip.span.start + frame}"), fontsize=9)
            title.set_text(describe_clip(clip, figure6.module))
            figure.canvas.draw()
            picture = np.asarray(figure.canvas.buffer_rgba())[..., :3]
            height, width = (side - side % 2 for side in picture.shape[:2])
            yield np.ascontiguousarray(picture[:height, :width])


def draw_panel(axes: Any, figure6: Figure6, clip: ClipAttention, what: tuple[str, int]) -> None:
    """Draw a picture, the skeleton under one gate, or the places, of one frame of a clip."""
    name, frame = what
    axes.set(xticks=[], yticks=[], facecolor=PANEL)
    for edge in axes.spines.values():
        edge.set_visible(False)
    places = clip.modules[figure6.module].places
    if name == "picture" and clip.scene is not None:
        _draw_picture(axes, clip.scene, frame)
    elif name == "places" and clip.scene is not None and places is not None:
        nearest = int(np.abs(clip.middles(figure6.module) - frame).argmin())
        _draw_places(axes, clip.scene, frame, places[nearest] / figure6.place_limit)
    else:
        weights = interpolate_weights(clip, figure6.module, name, frame)
        _draw_skeleton(axes, clip, frame, (weights, figure6.scales[name]))
        left, right, top, bottom = _find_view(figure6.clips)
        axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")


def interpolate_weights(
    clip: ClipAttention, module: str, gate: str, frame: int
) -> NDArray[np.float32]:
    """Return the weights (M, V) at a frame, between those of the module's frames around it."""
    weights = clip.modules[module].gates[gate]
    middles = clip.middles(module)
    place = float(np.interp(frame, middles, np.arange(len(middles))))
    before = min(int(place), len(middles) - 1)
    after = min(before + 1, len(middles) - 1)
    share = place - before
    return weights[:, before] * (1 - share) + weights[:, after] * share


def _draw_picture(axes: Any, scene: Scene, frame: int) -> None:
    picture, box = scene.pictures[frame], scene.box
    axes.imshow(picture, interpolation="bicubic")
    # What the network does not see is shaded.
    height, width = picture.shape[:2]
    shade = np.zeros((height, width, 4))
    shade[..., 3] = 0.55
    shade[box.top : box.top + box.height, box.left : box.left + box.width, 3] = 0
    axes.imshow(shade)


def _draw_skeleton(
    axes: Any,
    clip: ClipAttention,
    frame: int,
    weighted: tuple[NDArray[np.float32], Scale],
) -> None:
    weights, scale = weighted
    points = clip.pixels[frame] * _picture_size(clip)
    drawn = is_drawn(clip.pixels[frame]) & clip.present[frame][:, None]
    for body in range(BODIES):
        bones = [(a, b) for a, b in clip.layout.bones if drawn[body, a] and drawn[body, b]]
        for a, b in bones:
            axes.plot(*points[body, [a, b]].T, color=BONE, linewidth=1.6, zorder=1)
        shown = np.flatnonzero(drawn[body])
        # Small circles above large ones, so that none is lost.
        shown = shown[np.argsort(-weights[body, shown])]
        axes.scatter(
            *points[body, shown].T, s=scale.areas(weights[body, shown]),
            c=scale.shares(weights[body, shown]), cmap=WEIGHT_COLOURS, vmin=0, vmax=1,
            edgecolors=OUTLINE, linewidths=0.5, zorder=2,
        )  # fmt: skip


def _draw_places(axes: Any, scene: Scene, frame: int, shares: NDArray[np.float32]) -> None:
    grey, box = scene.pictures[frame].mean(2), scene.box
    height, width = grey.shape
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="bicubic")
    axes.imshow(
        shares, cmap=PLACE_COLOURS, vmin=-1, vmax=1, alpha=0.15 + 0.6 * np.abs(shares),
        extent=(box.left - 0.5, box.left + box.width - 0.5,
                box.top + box.height - 0.5, box.top - 0.5),
    )  # fmt: skip
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def draw_legend(axes: Any, figure6: Figure6, name: str, *, upright: bool = True) -> None:
    """Draw what circles and colours of a row mean, below one another or side by side."""
    axes.set_axis_off()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    if name == "picture":
        return
    texts, style = _list_marks(figure6, name)
    along = np.linspace(0.12, 0.78, N_MARKS) if upright else np.linspace(0.14, 0.86, N_MARKS)
    across = np.full(N_MARKS, 0.2 if upright else 0.66)
    x, y = (across, along) if upright else (along, across)
    axes.scatter(x, y, edgecolors=INK, linewidths=0.5, clip_on=False, **style)
    if upright:
        axes.text(0.05, 0.98, TITLES[name], fontsize=8, color=INK, va="top", weight="bold")
    for mark, text in enumerate(texts):
        if upright:
            axes.text(0.45, y[mark], text, fontsize=8, color=INK, va="center")
        else:
            axes.text(x[mark], 0.0, text, fontsize=8, color=INK, ha="center")


def _list_marks(figure6: Figure6, name: str) -> tuple[list[str], dict[str, Any]]:
    """Return the numbers beside the marks of a legend, and how the marks look."""
    if name == "places":
        values = np.linspace(-figure6.place_limit, figure6.place_limit, N_MARKS)
        style = {"c": values, "cmap": PLACE_COLOURS, "marker": "s", "s": 90}
        return [f"{value:+.2g}" for value in values], style
    scale = figure6.scales[name]
    values = np.linspace(scale.low, scale.high, N_MARKS)
    style = {"c": values, "cmap": WEIGHT_COLOURS, "s": scale.areas(values)}
    return [f"{value:.2f}" for value in values], style


def _picture_size(clip: ClipAttention) -> NDArray[np.float64]:
    """Return width and height of the picture, in any unit."""
    if clip.scene is not None:
        return np.array(clip.scene.pictures.shape[2:0:-1], float)
    return np.array((16, 9) if clip.layout.channels[2] == "z" else (4, 3), float)


def _find_view(clips: Sequence[ClipAttention]) -> tuple[float, float, float, float]:
    """Return left, right, top and bottom of what holds all bodies of all frames, a square."""
    seen = [
        (clip.pixels * _picture_size(clip))[is_drawn(clip.pixels) & clip.present[..., None]]
        for clip in clips
    ]
    points = np.concatenate(seen)
    if not len(points):
        width, height = _picture_size(clips[0])
        return 0, width, 0, height
    low, high = points.min(0), points.max(0)
    half = float((high - low).max()) * (1 + 2 * MARGIN) / 2
    x, y = ((low + high) / 2).tolist()
    return x - half, x + half, y - half, y + half
