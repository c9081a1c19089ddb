"""Builds and trains in a loop under random blows; ends with a ledger of what survived.

    python tests/soak/soak.py --minutes 20 --out build/soak

Exit status 0 if every build was identical to an undisturbed one and every training equal to the
last bit, else 1; what went wrong is kept in the output folder.
"""

import argparse
import shutil
import time
from pathlib import Path
from random import Random, SystemRandom

from soak_builds import BuildSoak
from soak_ledger import SoakLedger
from soak_trainings import TrainingSoak

_TRAINING_EVERY = 12
_MOST_VIOLATIONS = 10


def main(arguments=None) -> int:
    """Soak for a time or for a number of rounds."""
    given = _parse(arguments)
    shutil.rmtree(given.out, ignore_errors=True)
    given.out.mkdir(parents=True)
    print(f"seed {given.seed} (the same blows: --seed {given.seed})", flush=True)
    ledger = soak(given)
    print(ledger.table())
    print(f"written to {given.out}/ledger.md and ledger.json")
    return 1 if ledger.violations else 0


def soak(given) -> SoakLedger:
    """Do rounds until the time is up."""
    random, ledger = Random(given.seed), SoakLedger(given.seed)
    place = (given.out.resolve(), random, ledger)
    builds, trainings = BuildSoak(*place), TrainingSoak(*place)
    begin = time.monotonic()
    builds.prepare()
    if not given.no_training:
        trainings.prepare()
    number = 0
    while not _is_over(given, number, begin) and len(ledger.violations) < _MOST_VIOLATIONS:
        number += 1
        training = not given.no_training and number % _TRAINING_EVERY == 0
        (trainings if training else builds).round(number)
        ledger.seconds = time.monotonic() - begin
        # As it goes, so that a soak that is itself stopped leaves what it found.
        ledger.write(given.out)
        if number % 10 == 0:
            print(f"{ledger.n_kills} kills, {len(ledger.violations)} violations", flush=True)
    return ledger


def _is_over(given, number: int, begin: float) -> bool:
    if given.rounds is not None:
        return number >= given.rounds
    return time.monotonic() - begin > given.minutes * 60


def _parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, help="stop after so many rounds, not after a time")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--out", type=Path, default=Path("build/soak"))
    parser.add_argument("--no-training", action="store_true")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
