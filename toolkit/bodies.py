"""Which two bodies of a recording become the two slots of a sample; pure functions on arrays.

NTU rules follow the body ids over the recording, OpenPose rules have list positions only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.errors import NoBodyError
from toolkit.skeleton import SkeletonSequence
from toolkit.tracking import MAX_LINK_DISTANCE, link_people, match_people, pose_distances

N_SLOTS = 2
# The published thresholds of the denoising rule (docs/formats.md, "Body selection").
MAX_SHORT_FRAMES = 11
MAX_WIDTH_TO_HEIGHT = 0.8
MIN_NOISY_SHARE = 0.69754
# The Kinetics-skeleton loader looks at the first five people of a frame.
N_CANDIDATES = 5

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class BodyChoice:
    """Two body slots, how many bodies the source showed, and a sentence for each one left out.

    ``n_bodies`` counts ids that were seen (NTU) or the most people in one frame (OpenPose).
    """

    sequence: SkeletonSequence
    n_bodies: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class BodyFacts:
    """What the denoising rule knows about one body; ``index`` is its place on the M axis.

    ``first`` and ``last`` are frames, both inclusive; ``noisy_share`` is the share of its frames
    that are wider than 0.8 of their height; ``motion`` is in square metres.
    """

    index: int
    body_id: int
    first: int
    last: int
    n_frames: int
    noisy_share: float
    motion: float


def select_bodies(sequence: SkeletonSequence, *, rule: str, source: str = "") -> BodyChoice:
    """Return ``sequence`` with exactly two bodies, chosen by ``rule``.

    Every frame keeps its row, and a body stays at its true frames.  An absent slot is all zeros,
    not present, with id -1.  Rules for bodies with ids: ``denoise``, ``file-order``; for people
    known by list position only: ``frame``, ``clip``, ``track``.  Raises ``NoBodyError`` (the
    sentence begins with ``source``) when no frame holds a body, ``ValueError`` on another rule.
    """
    if rule not in BODY_RULES:
        raise ValueError(f"body rule must be one of {', '.join(BODY_RULES)}, got {rule!r}")
    choice = BODY_RULES[rule](sequence) if sequence.present.any() else None
    if choice is None or not choice.sequence.present.any():
        where = f"{source}: " if source else ""
        raise NoBodyError(f"{where}none of the {len(sequence)} frames holds a body")
    return choice


def list_body_facts(sequence: SkeletonSequence) -> list[BodyFacts]:
    """Describe every body that is present at least once, in order of first appearance.

    ``motion`` is the variance of x plus that of y plus that of z, taken over all joints of all
    frames at once (so the extent of the body counts too): the number that the published lists of
    chosen actors show.  Noisy frames are left out unless every frame is noisy.
    """
    seen = np.flatnonzero(sequence.present.any(0))
    order = seen[np.argsort(sequence.present[:, seen].argmax(0), kind="stable")]
    return [_describe_body(sequence, int(body)) for body in order]


def _describe_body(sequence: SkeletonSequence, body: int) -> BodyFacts:
    frames = np.flatnonzero(sequence.present[:, body])
    joints = sequence.joints[frames, body]
    width, height = np.ptp(joints[..., 0], axis=1), np.ptp(joints[..., 1], axis=1)
    noisy = width > MAX_WIDTH_TO_HEIGHT * height
    valid = joints if noisy.all() else joints[~noisy]
    return BodyFacts(
        index=body,
        body_id=int(sequence.body_ids[body]),
        first=int(frames[0]),
        last=int(frames[-1]),
        n_frames=len(frames),
        noisy_share=float(noisy.mean()),
        motion=float(valid.reshape(-1, valid.shape[-1]).var(0, dtype=np.float64).sum()),
    )


def _choose_denoised(sequence: SkeletonSequence) -> BodyChoice:
    """Drop short and spread-out bodies, rank the rest by motion, lay them into two tracks."""
    bodies = list_body_facts(sequence)
    kept, notes = bodies, list[str]()
    if len(bodies) > 1:
        kept, notes = _drop_short(bodies)
        kept, more = _drop_spread(kept)
        notes += more
    kept = sorted(kept, key=lambda body: -body.motion)
    tracks, more = _lay_tracks(kept)
    return _fill_tracks(sequence, tracks, n_bodies=len(bodies), notes=notes + more)


def _drop_short(bodies: list[BodyFacts]) -> tuple[list[BodyFacts], list[str]]:
    """Drop bodies seen in 11 frames or fewer; where all are, the longest stays (ties: the first).

    A recording that holds a body is never left without one.
    """
    kept = [body for body in bodies if body.n_frames > MAX_SHORT_FRAMES]
    kept = kept or [max(bodies, key=lambda body: body.n_frames)]
    notes = [
        f"body {body.body_id} dropped: seen in {body.n_frames} frames, "
        f"at least {MAX_SHORT_FRAMES + 1} are needed"
        for body in bodies
        if body not in kept
    ]
    return kept, notes


def _drop_spread(bodies: list[BodyFacts]) -> tuple[list[BodyFacts], list[str]]:
    """Drop bodies that are too wide for a person, one after the other, never the last one left."""
    kept, notes = list(bodies), []
    for body in bodies:
        if body.noisy_share >= MIN_NOISY_SHARE and len(kept) > 1:
            kept.remove(body)
            share = f"{body.noisy_share:.1%}"
            notes.append(f"body {body.body_id} dropped: too wide for a person in {share} of frames")
    return kept, notes


def _lay_tracks(ranked: list[BodyFacts]) -> tuple[list[list[BodyFacts]], list[str]]:
    """Give each body to the first of two tracks whose interval it does not overlap.

    The interval of a track runs from its first to its last frame, gaps included, and grows with
    each body that joins.  One frame in common is an overlap: nothing is ever overwritten.
    """
    tracks: list[list[BodyFacts]] = [[] for _ in range(N_SLOTS)]
    notes = []
    for body in ranked:
        track = next((track for track in tracks if not _overlaps(body, track)), None)
        if track is None:
            interval = f"frames {body.first} to {body.last}"
            notes.append(f"body {body.body_id} dropped: {interval} overlap both chosen bodies")
        else:
            track.append(body)
    return tracks, notes


def _overlaps(body: BodyFacts, track: list[BodyFacts]) -> bool:
    if not track:
        return False
    first, last = min(b.first for b in track), max(b.last for b in track)
    return body.first <= last and first <= body.last


def _choose_file_order(sequence: SkeletonSequence) -> BodyChoice:
    """Take the first two ids in order of first appearance (ties: order in the file), whole.

    Each keeps its slot for good.  (The ST-GCN loader fills slots by list position frame by frame,
    which is the same as long as no body leaves or comes back.)
    """
    bodies = list_body_facts(sequence)
    notes = [
        f"body {body.body_id} dropped: the third or later id to appear" for body in bodies[N_SLOTS:]
    ]
    tracks = [[body] for body in bodies[:N_SLOTS]]
    return _fill_tracks(sequence, tracks, n_bodies=len(bodies), notes=notes)


def _fill_tracks(
    sequence: SkeletonSequence, tracks: list[list[BodyFacts]], *, n_bodies: int, notes: list[str]
) -> BodyChoice:
    people = np.full((len(sequence), N_SLOTS), -1)
    ids = np.full(N_SLOTS, -1, np.int64)
    for slot, track in enumerate(tracks):
        for body in track:
            people[sequence.present[:, body.index], slot] = body.index
        if track:
            ids[slot] = track[0].body_id
    return BodyChoice(_gather(sequence, people, ids), n_bodies, tuple(notes))


def _gather(
    sequence: SkeletonSequence, people: IntArray, ids: NDArray[np.int64]
) -> SkeletonSequence:
    """Copy body ``people[t, slot]`` (-1 = nobody) of each frame into its slot."""
    frames = np.arange(len(sequence))[:, None]
    present = people >= 0

    def pick(array: NDArray[Any]) -> NDArray[Any]:
        picked = array[frames, people]
        picked[~present] = 0
        return picked

    return SkeletonSequence(
        layout=sequence.layout,
        joints=pick(sequence.joints),
        present=present,
        times=sequence.times,
        pixels=pick(sequence.pixels),
        body_ids=ids,
        tracking=pick(sequence.tracking),
    )


def _choose_by_frame(sequence: SkeletonSequence) -> BodyChoice:
    """Take the two people of highest summed joint score in each frame, of its first five.

    Ties (a file whose scores are all 0) keep the order of the list.  The slots of a person may
    swap between frames: the rule of the published loader.
    """
    return _finish_people(sequence, _rank_people(sequence))


def _choose_by_clip(sequence: SkeletonSequence) -> BodyChoice:
    """Take the two people of highest joint score over the whole recording, each in one slot.

    People are linked from frame to frame (:func:`toolkit.tracking.link_people`); a frame without
    either stays empty.  Ties go to the person seen in more frames, then to the one seen first.
    """
    first = slice(N_CANDIDATES)
    tracks = link_people(sequence.joints[:, first], sequence.present[:, first])
    n_tracks = int(tracks.max()) + 1
    score = _person_scores(sequence)[:, : tracks.shape[1]]
    total = np.array([score[tracks == track].sum() for track in range(n_tracks)])
    length = np.array([np.count_nonzero(tracks == track) for track in range(n_tracks)])
    chosen = np.lexsort((np.arange(n_tracks), -length, -total))[:N_SLOTS]
    people = np.full((len(sequence), N_SLOTS), -1)
    for slot, track in enumerate(chosen):
        frames, places = np.nonzero(tracks == track)
        people[frames, slot] = places
    left_out = n_tracks - len(chosen)
    notes = [f"{left_out} tracked people of lower joint score dropped"] if left_out else []
    return _finish_people(sequence, people, notes)


def _choose_by_track(sequence: SkeletonSequence) -> BodyChoice:
    """Take the people of the ``frame`` rule, but keep each in the slot whose last pose is nearest.

    A person near neither slot's last pose takes the slot that is empty or was seen longest ago.
    """
    ranked = _rank_people(sequence)
    people = np.full_like(ranked, -1)
    last_seen = np.full(N_SLOTS, -1)
    for frame, row in enumerate(ranked):
        here = row[row >= 0]
        used = np.flatnonzero(last_seen >= 0)
        poses = [sequence.joints[last_seen[s], people[last_seen[s], s]] for s in used]
        cost = pose_distances(sequence.joints[frame, here], poses)
        slots = [int(used[m]) if m >= 0 else -1 for m in match_people(cost, MAX_LINK_DISTANCE)]
        free = sorted(set(range(N_SLOTS)) - set(slots), key=lambda slot: int(last_seen[slot]))
        for person, slot in zip(here, slots, strict=True):
            people[frame, slot if slot >= 0 else free.pop(0)] = person
        last_seen[people[frame] >= 0] = frame
    return _finish_people(sequence, people)


def _finish_people(
    sequence: SkeletonSequence, people: IntArray, notes: list[str] | None = None
) -> BodyChoice:
    crowd = int(sequence.present.sum(1).max())
    if crowd > N_SLOTS and not notes:
        n_frames = int(np.count_nonzero(sequence.present.sum(1) > N_SLOTS))
        notes = [f"{n_frames} frames list more than two people, {crowd} at most"]
    chosen = _gather(sequence, people, np.full(N_SLOTS, -1, np.int64))
    return BodyChoice(chosen, crowd, tuple(notes or ()))


def _person_scores(sequence: SkeletonSequence) -> NDArray[np.float64]:
    """Return the mean joint score of each person, (T, M), -inf where nobody is."""
    score = sequence.joints[..., 2].mean(-1, dtype=np.float64)
    return np.where(sequence.present, score, -np.inf)


def _rank_people(sequence: SkeletonSequence) -> IntArray:
    """Return the places of the two best people of each frame, (T, 2), -1 for nobody."""
    T = len(sequence)
    score = _person_scores(sequence)[:, :N_CANDIDATES]
    order = np.argsort(-score, axis=1, kind="stable")[:, :N_SLOTS]
    people = np.full((T, N_SLOTS), -1)
    people[:, : order.shape[1]] = np.where(np.take_along_axis(score, order, 1) > -np.inf, order, -1)
    return people


BODY_RULES: dict[str, Callable[[SkeletonSequence], BodyChoice]] = {
    "denoise": _choose_denoised,
    "file-order": _choose_file_order,
    "frame": _choose_by_frame,
    "clip": _choose_by_clip,
    "track": _choose_by_track,
}
