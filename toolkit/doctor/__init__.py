"""What the machine and the installed packages allow, and a sentence for what stands in the way."""

from pathlib import Path

from toolkit.doctor import machine, software
from toolkit.doctor.finding import Finding, findings_to_dict, format_findings
from toolkit.memory import read_free_memory

__all__ = ["Finding", "examine", "findings_to_dict", "format_findings"]


def examine(out: Path) -> list[Finding]:
    """Look at packages, codecs, the machine and the place for outputs; nothing stays behind."""
    return [
        *software.check_packages(),
        *software.check_codecs(),
        machine.check_cores(),
        machine.check_memory(read_free_memory()),
        machine.check_open_files(machine.read_open_files_limit()),
        machine.check_shared_memory(machine.read_free_bytes(machine.SHARED_MEMORY)),
        machine.check_gpu(machine.read_gpu()),
        *machine.check_folder(machine.probe_folder(out)),
        *software.check_optional_packages(),
    ]
