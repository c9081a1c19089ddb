"""Pictures out as an animated GIF, in colours chosen for them."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

from toolkit.shards.codec import Picture

# GIF counts in hundredths of a second, and browsers slow down whatever is shown for less than two.
MOST_FPS = 50
# A fixed pattern stays where it is from frame to frame; spreading the error would flicker.
_DITHER = "dither=bayer:bayer_scale=4"


def write_gif(path: Path, draw: Callable[[], Iterator[Picture]], fps: float) -> int:
    """Encode the RGB frames (H, W, 3) of one size that ``draw`` yields; return how many there were.

    It plays over and over.  The frames are drawn twice, to choose 256 colours and to encode, so
    that few are in memory.  Raises ``ValueError`` without a frame, or beyond 50 a second.
    """
    if not 0 < fps <= MOST_FPS:
        raise ValueError(f"a GIF shows at most {MOST_FPS} frames a second, not {fps:g}")
    rate = Fraction(fps).limit_denominator(1001)
    palette = _choose_palette(draw(), rate)
    return _encode(path, draw(), palette, rate)


def _choose_palette(pictures: Iterator[Picture], rate: Fraction) -> Any:
    from av.filter import Graph

    first = next(pictures, None)
    if first is None:
        raise ValueError("a GIF needs at least one frame")
    graph = Graph()
    source = _add_source(graph, first.shape[1], first.shape[0], "rgb24", rate)
    graph.link_nodes(source, graph.add("palettegen"), graph.add("buffersink")).configure()
    for i, picture in enumerate(chain([first], pictures)):
        source.push(_make_frame(picture, i, rate))
    source.push(None)
    return graph.vpull()


def _encode(path: Path, pictures: Iterator[Picture], palette: Any, rate: Fraction) -> int:
    import av

    first = next(pictures)
    height, width = first.shape[:2]
    graph, source = _make_colouring(width, height, palette, rate)
    n_frames = 0
    with av.open(path, "w", format="gif", options={"loop": "0"}) as container:
        stream: Any = container.add_stream("gif", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        for picture in chain([first], pictures):
            source.push(_make_frame(picture, n_frames, rate))
            container.mux(stream.encode(graph.vpull()))
            n_frames += 1
        container.mux(stream.encode(None))
    return n_frames


def _make_colouring(width: int, height: int, palette: Any, rate: Fraction) -> tuple[Any, Any]:
    """Return a graph that puts a palette's colours for those of its source, and the source."""
    from av.filter import Graph

    graph = Graph()
    source = _add_source(graph, width, height, "rgb24", rate)
    colours = _add_source(graph, palette.width, palette.height, palette.format.name, rate)
    use = graph.add("paletteuse", _DITHER)
    source.link_to(use, 0, 0)
    colours.link_to(use, 0, 1)
    use.link_to(graph.add("buffersink"))
    graph.configure()
    palette.pts, palette.time_base = 0, 1 / rate
    colours.push(palette)
    colours.push(None)
    return graph, source


def _add_source(graph: Any, width: int, height: int, kind: str, rate: Fraction) -> Any:
    return graph.add_buffer(width=width, height=height, format=kind, time_base=1 / rate)


def _make_frame(picture: Picture, i: int, rate: Fraction) -> Any:
    import av

    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    frame.pts, frame.time_base = i, 1 / rate
    return frame
