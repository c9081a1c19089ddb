"""What a network says of one recording over time: sliding clips, probabilities, tables, JSON."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toolkit.shards import DatasetReader
from train.batch import Clip, collate
from train.data import ClipSource, View
from train.sampling import Span
from train.saved_run import SavedRun

N_BEST = 5


@dataclass(frozen=True)
class Prediction:
    """Probabilities (n, K) of the clips ``spans`` of one recording of ``n_frames`` pose frames.

    ``fps`` pose frames a second.
    """

    class_names: tuple[str, ...]
    spans: tuple[Span, ...]
    probabilities: NDArray[np.float32]
    n_frames: int
    fps: float

    @property
    def overall(self) -> NDArray[np.float32]:
        """Mean probabilities over the clips (K,), what ``train.evaluate`` scores a sample by."""
        mean: NDArray[np.float32] = self.probabilities.mean(0)
        return mean

    def best(self, probabilities: NDArray[np.float32]) -> list[tuple[str, float]]:
        """Return the five likeliest classes, likeliest first."""
        order = np.argsort(-probabilities, kind="stable")[:N_BEST]
        return [(self.class_names[label], float(probabilities[label])) for label in order]

    def clip_at(self, frame: int) -> int:
        """Return the clip whose middle is nearest to a pose frame."""
        middles = [span.start + (span.n_valid - 1) / 2 for span in self.spans]
        return int(np.abs(np.array(middles) - frame).argmin())


def slide_spans(n_frames: int, length: int, stride: int, partial: str) -> list[Span]:
    """Return clips that begin ``stride`` frames apart, until one reaches the end.

    With ``stride`` equal to ``length`` they are those of evaluation; as there, ``partial`` says
    whether a last, shorter clip is kept.
    """
    last = -(-max(n_frames - length, 0) // stride) * stride
    spans = [
        Span(start, min(length, n_frames - start))
        for start in range(0, min(last, n_frames - 1) + 1, stride)
    ]
    if partial == "drop" and len(spans) > 1 and spans[-1].n_valid < length:
        spans.pop()
    return spans


def predict_sample(
    loaded: SavedRun, reader: DatasetReader, stride: int | None = None, fps: float = 30.0
) -> Prediction:
    """Run the network on the first sample of a data set, clip by clip as evaluation does.

    ``stride`` is the clips' length when None.
    """
    config = loaded.config.data
    n_frames = int(reader.n_frames[0])
    stride = stride or config.clip_length
    spans = slide_spans(n_frames, config.clip_length, stride, config.partial)
    pictures = loaded.config.model.has_rgb_branch
    source = ClipSource(reader.folder, [0], config, pictures=pictures)
    place = "whole" if config.crop == "none" else "centre"
    with source.reader:
        clips = [source.read(0, View(span, place)) for span in spans]
    size = loaded.config.run.batch_size
    batches = [clips[i : i + size] for i in range(0, len(clips), size)]
    scores = torch.cat([_score(loaded, batch) for batch in batches]).numpy()
    return Prediction(loaded.data.class_names, tuple(spans), scores, n_frames, fps)


def _score(loaded: SavedRun, clips: list[Clip]) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.forward(loaded.model, collate(clips)).softmax(1).cpu()


def format_prediction(prediction: Prediction) -> str:
    """Return a table for people: a row a clip, its likeliest classes, and the mean below."""
    rows = [("seconds", *(str(place + 1) for place in range(N_BEST)))]
    for span, probabilities in zip(prediction.spans, prediction.probabilities, strict=True):
        begin, end = _seconds(prediction, span)
        rows.append((f"{begin:.1f} - {end:.1f}", *_cells(prediction, probabilities)))
    rows.append(("all", *_cells(prediction, prediction.overall)))
    n_columns = max(map(len, rows[1:]))
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(n_columns)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]
    return "\n".join([*lines[:-1], "-" * max(map(len, lines)), lines[-1]])


def _cells(prediction: Prediction, probabilities: NDArray[np.float32]) -> list[str]:
    return [f"{share:4.0%} {name}" for name, share in prediction.best(probabilities)]


def _seconds(prediction: Prediction, span: Span) -> tuple[float, float]:
    return span.start / prediction.fps, (span.start + span.n_valid) / prediction.fps


def prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    """Return everything as JSON values; ``probabilities`` are in the order of ``class_names``."""
    clips = []
    for span, probabilities in zip(prediction.spans, prediction.probabilities, strict=True):
        begin, end = _seconds(prediction, span)
        clips.append(
            {
                "start_frame": span.start,
                "n_frames": span.n_valid,
                "start_s": round(begin, 4),
                "end_s": round(end, 4),
                "top": _list_best(prediction, probabilities),
                "probabilities": probabilities.tolist(),
            }
        )
    return {
        "n_frames": prediction.n_frames,
        "fps": prediction.fps,
        "class_names": list(prediction.class_names),
        "top": _list_best(prediction, prediction.overall),
        "probabilities": prediction.overall.tolist(),
        "clips": clips,
    }


def _list_best(prediction: Prediction, probabilities: NDArray[np.float32]) -> list[dict[str, Any]]:
    best = prediction.best(probabilities)
    return [{"class": name, "probability": share} for name, share in best]
