"""Installed packages against the versions asked for, and the codecs that FFmpeg came with."""

import re
from collections.abc import Callable
from importlib import import_module, metadata
from platform import python_version
from typing import Any, Literal

from toolkit import __version__
from toolkit.doctor.finding import Finding

# What extraction and reading need: distribution -> module.
NEEDED = {
    "numpy": "numpy",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "h5py": "h5py",
    "opencv-python": "cv2",
    "av": "av",
    "simplejpeg": "simplejpeg",
    "orjson": "orjson",
    "joblib": "joblib",
    "click": "click",
}
# Any of them is the module cv2.
_OPENCV = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
# Distribution -> what it enables, and what installs it.
OPTIONAL = {
    "torch": ("training, attention pictures and prediction", "torch torchvision"),
    "torchvision": ("training, estimate-poses without --model", "torch torchvision"),
    "distributed": ("--scheduler", "'ctxtool[cluster]'"),
    "onnxruntime": ("estimate-poses --model, checking an exported network", "'ctxtool[export]'"),
    "onnx": ("train.export to ONNX", "'ctxtool[export]'"),
    "onnxscript": ("train.export to ONNX", "'ctxtool[export]'"),
    "tensorboard": ("curves while training runs", "tensorboard"),
}
# Decoder -> (its names in FFmpeg, who has such videos, whether work is impossible without).
DECODERS = {
    "H.264": (("h264",), "Kinetics and most own videos", True),
    "MPEG-4": (("mpeg4",), "NTU RGB+D, and what synthesize ntu writes", True),
    "HEVC": (("hevc",), "videos of newer cameras and phones", False),
    "VP9": (("vp9",), "WebM videos", False),
    # FFmpeg's own av1 needs a graphics chip.
    "AV1": (("libdav1d", "libaom-av1"), "newer web videos", False),
}
ENCODERS = {
    "H.264": (
        ("libx264",),
        "--codec h264, synthesize kinetics; render writes MPEG-4 instead",
    ),
    "MPEG-4": (("mpeg4",), "synthesize ntu, and render without libx264"),
}

LoadModule = Callable[[str], Any]
Mode = Literal["r", "w"]
HasCodec = Callable[[str, Mode], bool]


def check_packages(load: LoadModule = import_module) -> list[Finding]:
    """Import each package that extraction needs, and compare its version with the one asked for."""
    lowest = read_lowest_versions()
    found = [
        Finding("packages", "ctxtool", __version__),
        Finding("packages", "Python", python_version()),
    ]
    for distribution, module in NEEDED.items():
        found.append(check_package(distribution, module, lowest.get(distribution, ""), load))
    return found


def check_package(distribution: str, module: str, lowest: str, load: LoadModule) -> Finding:
    """Return the version of one package, with a problem where it is too old or cannot be loaded."""
    names = _OPENCV if module == "cv2" else (distribution,)
    version = next(filter(None, map(read_version, names)), "")
    install = f"pip install '{distribution}>={lowest}'" if lowest else f"pip install {distribution}"
    try:
        loaded = load(module)
    except ImportError as error:
        cure = (
            "pip uninstall opencv-python, then pip install opencv-python-headless"
            if module == "cv2" and version
            else install
        )
        problem = f"{distribution} cannot be loaded ({error}): {cure}."
        return Finding("packages", distribution, version or "absent", problem, forbids=True)
    told = version or str(getattr(loaded, "__version__", "unknown"))
    if version and lowest and _numbers(version) < _numbers(lowest):
        problem = f"{distribution} {version} is older than {lowest}: {install}."
        return Finding("packages", distribution, told, problem, forbids=True)
    return Finding("packages", distribution, told + _say_inside(module, loaded))


def read_version(distribution: str) -> str:
    """Return the version of an installed distribution, "" where there is none."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def read_lowest_versions() -> dict[str, str]:
    """Return distribution -> lowest version as ctxtool itself declares them, extras included.

    Empty where ctxtool was not installed but is run from its sources.
    """
    try:
        declared = metadata.requires("ctxtool") or []
    except metadata.PackageNotFoundError:
        return {}
    matches = (re.match(r"([\w.-]+?)\s*>=\s*([\d.]+)", line) for line in declared)
    return {match[1]: match[2] for match in matches if match}


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def _say_inside(module: str, loaded: Any) -> str:
    """Return the version of the library inside a package, where it decides what is read."""
    if module == "h5py":
        return f", HDF5 {loaded.version.hdf5_version}"
    if module == "av":
        return f", FFmpeg {loaded.ffmpeg_version_info}"
    return ""


def check_codecs(has_codec: HasCodec | None = None) -> list[Finding]:
    """Ask FFmpeg for every decoder and encoder in use; nothing where PyAV cannot be loaded."""
    if has_codec is None:
        try:
            import_module("av")
        except ImportError:
            return []  # Told by check_packages.
        has_codec = ask_ffmpeg
    found = [check_decoder(name, has_codec) for name in DECODERS]
    return found + [check_encoder(name, has_codec) for name in ENCODERS]


def check_decoder(name: str, has_codec: HasCodec) -> Finding:
    """Return which decoder FFmpeg has for a kind of video."""
    codecs, whose, needed = DECODERS[name]
    there = next((codec for codec in codecs if has_codec(codec, "r")), "")
    return _tell_codec(f"decode {name}", there, f"{name} decoder ({whose})", forbids=needed)


def check_encoder(name: str, has_codec: HasCodec) -> Finding:
    """Return which encoder FFmpeg has for a kind of video; extraction needs none."""
    codecs, for_what = ENCODERS[name]
    there = next((codec for codec in codecs if has_codec(codec, "w")), "")
    return _tell_codec(f"encode {name}", there, f"{name} encoder ({for_what})", forbids=False)


def _tell_codec(title: str, there: str, wanted: str, *, forbids: bool) -> Finding:
    if there:
        return Finding("codecs", title, there)
    problem = (
        f"FFmpeg has no {wanted}: install PyAV's own wheel,"
        " pip install --force-reinstall --only-binary av av."
    )
    return Finding("codecs", title, "absent", problem, forbids=forbids)


def ask_ffmpeg(codec: str, mode: Mode) -> bool:
    """Tell whether FFmpeg can read (``r``) or write (``w``) with a codec of this name."""
    import av
    from av.codec.codec import UnknownCodecError

    try:
        av.codec.Codec(codec, mode)
    except UnknownCodecError:
        return False
    return True


def check_optional_packages(version_of: Callable[[str], str] = read_version) -> list[Finding]:
    """Tell which packages are there that only some commands need; loads none of them."""
    found = []
    for distribution, (enables, install) in OPTIONAL.items():
        version = version_of(distribution)
        told = version or f"absent: pip install {install}"
        found.append(Finding("optional", distribution, f"{told} ({enables})"))
    return found
