"""What stops a training, each as one sentence that says what to change."""


class TrainError(Exception):
    """Training cannot start or go on; ``str()`` is one clear sentence."""


class DivergedError(TrainError):
    """The loss is not a number any more or has exploded."""


class CheckpointError(TrainError):
    """A checkpoint is damaged, foreign, or does not belong to this run."""


class Interrupted(Exception):  # noqa: N818  not an error: the state is saved
    """A signal asked to stop; everything is saved and the run can be resumed."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number
