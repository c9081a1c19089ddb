"""What ctxtool knows of data sets, as a text: formats, splits with their counts, layouts."""

from toolkit.datasets.kinetics import read_class_names
from toolkit.datasets.ntu import count_splits
from toolkit.skeleton import LAYOUTS, SkeletonLayout

_FORMATS = """\
Raw formats
  NTU RGB+D .skeleton text            extract-ntu              video frame i = pose frame i
  Kinetics-skeleton JSON              extract-kinetics         nearest video frame in time
                                      build-kinetics-motion    (the 30 classes of it)
  OpenPose JSON folders (COCO-18,     extract-openpose         nearest video frame in time
    BODY_25) and own layouts
  video: anything FFmpeg decodes (AVI, MP4, MKV, WebM, MOV)"""


def describe_datasets() -> str:
    """Return the text that ``ctxtool info`` prints; NTU counts are counted from the names."""
    return "\n\n".join([_FORMATS, _describe_ntu(), _describe_kinetics(), _describe_layouts()])


def _describe_ntu() -> str:
    head = f"{'set':8}{'recordings':>12}  {'split':8}{'train':>8}{'test':>8}"
    lines = ["NTU RGB+D splits (right: without the recordings on the published missing list)"]
    lines.append(f"  {head}{'train':>10}{'test':>8}{'missing':>9}")
    for row in count_splits():
        whole = f"{row.dataset:8}{row.recordings:>12,}  {row.split:8}{row.train:>8,}{row.test:>8,}"
        left = f"{row.train_present:>10,}{row.test_present:>8,}{row.missing:>9,}"
        lines.append(f"  {whole}{left}")
    return "\n".join(lines)


def _describe_kinetics() -> str:
    n_classes, motion = len(read_class_names()), read_class_names(motion_only=True)
    return (
        "Kinetics-skeleton: one split, kinetics (its val is stored as test)\n"
        f"  kinetics          {n_classes} classes\n"
        f"  kinetics-motion   {len(motion)} classes, {motion[0]} to {motion[-1]}"
    )


def _describe_layouts() -> str:
    return "\n".join(["Skeleton layouts", *map(_describe_layout, LAYOUTS.values())])


def _describe_layout(layout: SkeletonLayout) -> str:
    channels = " ".join(layout.channels)
    centre = layout.joints[layout.centre]
    return f"  {layout.name:12}{layout.n_joints} joints, channels {channels}, centre {centre}"
