"""What releases of PyAV do differently; loads it."""

from typing import Any

import av

PYAV_MAJOR = int(av.__version__.split(".")[0])

# PyAV 17 and later would start a thread a core to scale; before, there is one and no such option.
ONE_THREAD: dict[str, Any] = {"threads": 1} if PYAV_MAJOR >= 17 else {}
