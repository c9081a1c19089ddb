"""How clips are drawn and prepared: the settings ``data.*``."""

import math
from dataclasses import dataclass

# What each field of DataConfig may hold.
CHOICES = {
    "window": ("centre", "uniform"),
    "short": ("loop", "zero"),
    "partial": ("keep", "drop"),
    "crop": ("corners", "centre", "none"),
    "flip": ("none", "both", "rgb"),
}


@dataclass(frozen=True)
class DataConfig:
    """How clips are drawn and prepared; the defaults are the paper's (docs/paper.md).

    - ``split``: the data set's default one when None
    - ``clip_length`` frames a clip, pictures ``frame_size`` squared
    - ``window``: training window by its ``centre`` frame or by ``uniform`` start (O1)
    - ``short``: clips with too few frames ``loop`` or end in ``zero`` (O2)
    - ``partial``: ``keep`` or ``drop`` the last, shorter test clip (O3)
    - ``crop``: a square at one of the ``corners`` or the centre, always the ``centre``, or
      ``none``: the whole picture, in testing too; sides are drawn from ``crop_scales`` (O4)
    - ``flip``: mirror half of the clips, pictures and skeletons ``both`` or ``rgb`` only (O6)
    - ``random_move``: rotate, scale and shift skeletons (O8)
    - ``joint_noise``: standard deviation of noise on the places of joints that are seen, in the
      units of the normalised skeleton (metres, or fractions of the picture)
    - ``brightness``, ``contrast``: each clip's pictures by a factor within 1 ± this
    - ``drop_second``: probability that a clip is left without its second body
    - ``rgb_mean``, ``rgb_scale``: see :func:`~train.transforms.normalise_rgb` (O9)
    - ``zero_score``, ``centre_joint``: see :func:`~train.transforms.normalise_joints` (O10, O11)
    - ``validation_share`` of the training samples is held out to choose the best epoch by
    - ``context_file``: features in place of pictures, see :mod:`train.context_file`

    Raises ``ValueError`` for a value no clip can be made with.
    """

    split: str | None = None
    clip_length: int = 16
    frame_size: int = 112
    window: str = "centre"
    short: str = "loop"
    partial: str = "keep"
    crop: str = "corners"
    crop_scales: tuple[float, ...] = (1.0, 0.8409, 0.7071, 0.5946, 0.5)
    flip: str = "none"
    random_move: bool = False
    joint_noise: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    drop_second: float = 0.0
    rgb_mean: tuple[float, ...] = (114.7748, 107.7354, 99.4750)
    rgb_scale: float = 1 / 255
    zero_score: bool = True
    centre_joint: bool = False
    validation_share: float = 0.05
    context_file: str | None = None

    def __post_init__(self) -> None:
        for field in ("crop_scales", "rgb_mean"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        for field, allowed in CHOICES.items():
            if getattr(self, field) not in allowed:
                wanted = ", ".join(allowed)
                raise ValueError(f"{field} must be one of {wanted}; got {getattr(self, field)!r}")
        if self.clip_length < 1 or self.frame_size < 1:
            raise ValueError(
                "clip_length and frame_size must be at least 1,"
                f" got {self.clip_length} and {self.frame_size}"
            )
        if not self.crop_scales or not all(0 < scale <= 1 for scale in self.crop_scales):
            raise ValueError(f"crop_scales must be in (0, 1], got {self.crop_scales}")
        in_range = [0 <= mean <= 255 for mean in self.rgb_mean]
        if in_range != [True] * 3 or self.rgb_scale <= 0:
            raise ValueError(
                "rgb_mean must be 3 numbers from 0 to 255 and rgb_scale positive,"
                f" got {self.rgb_mean} and {self.rgb_scale}"
            )
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"validation_share must be in [0, 1), got {self.validation_share}")
        self._check_augmentation()
        if self.context_file is not None:
            self._check_needs_no_pictures()

    def _check_augmentation(self) -> None:
        for field, most in {"joint_noise": math.inf, "brightness": 1, "contrast": 1}.items():
            if not 0 <= getattr(self, field) < most:
                raise ValueError(f"{field} must be in [0, {most}), got {getattr(self, field)}")
        if not 0 <= self.drop_second <= 1:
            raise ValueError(f"drop_second must be in [0, 1], got {self.drop_second}")

    def _check_needs_no_pictures(self) -> None:
        if self.flip != "none":
            raise ValueError(
                f"flip {self.flip!r} needs pictures: a context_file cannot be mirrored"
            )
        if self.brightness or self.contrast:
            raise ValueError("brightness and contrast need pictures: a context_file has none")
