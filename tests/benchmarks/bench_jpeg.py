"""JPEG at the stored size: encoding and decoding by the libraries that could do it.

Run ``python tests/benchmarks/bench_jpeg.py``.  The pictures are those of ``bench_video``, at
170x128 and quality 90; "from YUV" starts from the planes that the scaler leaves behind.
"""

import time
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from bench_video import draw
from timing import Names, Row, measure, print_table, summarise

from toolkit.readers.picture import PictureEncoder

QUALITY, N_PICTURES = 90, 200


def encoders(
    planes: list[list[np.ndarray]], rgbs: list[np.ndarray], bgrs: list[np.ndarray]
) -> dict[str, Callable[[], int]]:
    setting = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]

    def from_yuv() -> int:
        return len([simplejpeg.encode_jpeg_yuv_planes(*yuv, QUALITY, False) for yuv in planes])

    def from_rgb() -> int:
        return len([simplejpeg.encode_jpeg(rgb, QUALITY, "RGB", "420") for rgb in rgbs])

    def by_cv2() -> int:
        return len([cv2.imencode(".jpg", bgr, setting) for bgr in bgrs])

    return {
        "simplejpeg from YUV (ours)": from_yuv,
        "simplejpeg from RGB": from_rgb,
        "cv2 from BGR (peer)": by_cv2,
    }


def decoders(jpegs: list[bytes]) -> dict[str, Callable[[], int]]:
    arrays = [np.frombuffer(jpeg, np.uint8) for jpeg in jpegs]

    def by_cv2() -> int:
        return len([cv2.imdecode(array, cv2.IMREAD_COLOR) for array in arrays])

    def by_simplejpeg() -> int:
        return len([simplejpeg.decode_jpeg(jpeg, "RGB") for jpeg in jpegs])

    return {"cv2 (the training loader)": by_cv2, "simplejpeg": by_simplejpeg}


def bench(rounds: int = 7) -> list[Row]:
    cv2.setNumThreads(1)
    encoder = PictureEncoder(short_side=128, quality=QUALITY)
    # Copied, because a plane's memory is only lent by its picture.
    planes = [
        [np.array(plane) for plane in encoder.shrink(picture)]
        for picture in draw(340, 256, N_PICTURES)
    ]
    jpegs = [simplejpeg.encode_jpeg_yuv_planes(*yuv, QUALITY, False) for yuv in planes]
    bgrs = [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]
    rgbs = [np.ascontiguousarray(bgr[..., ::-1]) for bgr in bgrs]
    height, width = planes[0][0].shape
    title = f"{width}x{height}, quality {QUALITY}, {np.mean([*map(len, jpegs)]) / 1000:.1f} kB each"
    encoding = measure(encoders(planes, rgbs, bgrs), rounds, clock=time.process_time)
    print_table(f"encode {title}", encoding, peer="cv2 from BGR (peer)", unit="images/CPU s")
    decoding = measure(decoders(jpegs), rounds, clock=time.process_time)
    print_table(f"decode {title}", decoding, peer="cv2 (the training loader)", unit="images/CPU s")
    written = Names("simplejpeg from YUV (ours)", "cv2 from BGR (peer)")
    read = Names("cv2 (the training loader)", "simplejpeg")
    return [
        summarise("JPEG encoding", encoding, written, unit="images/CPU s"),
        summarise("JPEG decoding", decoding, read, unit="images/CPU s"),
    ]


def main() -> None:
    bench()


if __name__ == "__main__":
    main()
