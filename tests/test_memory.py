"""Free memory within the limits of containers and batch jobs, told by made files of the kernel."""

import pytest

from toolkit import memory

MIB = 2**20
V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with 800 MiB free, on which this process is in no group."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable: {800 * 1024} kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "_MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(memory, "_CGROUP", tmp_path / "cgroup")
    return tmp_path


def write_group(machine, folder, names, limit, used, reclaimable):
    """Write what the kernel tells of a group, in MiB."""
    group = machine / "cgroup" / folder
    group.mkdir(parents=True, exist_ok=True)
    (group / names[0]).write_text(f"{limit * MIB if isinstance(limit, int) else limit}\n")
    (group / names[1]).write_text(f"{used * MIB}\n")
    stat = f"anon {100 * MIB}\n{names[2]} {reclaimable * MIB}\nactive_file {50 * MIB}\n"
    (group / "memory.stat").write_text(stat)


def test_without_groups_the_machine_tells(machine):
    assert memory.read_free_memory() == 800 * MIB


def test_a_system_that_does_not_tell_has_no_figure(machine):
    (machine / "meminfo").unlink()
    assert memory.read_free_memory() is None


def test_what_a_container_read_and_may_drop_is_free(machine):
    (machine / "membership").write_text("0::/\n")
    write_group(machine, "", V2, 500, 450, 300)
    assert memory.read_free_memory() == 350 * MIB


def test_a_group_that_is_full_has_nothing_left(machine):
    (machine / "membership").write_text("0::/\n")
    write_group(machine, "", V2, 500, 510, 0)
    assert memory.read_free_memory() == 0


@pytest.mark.parametrize("limit", ["max", 9000])
def test_a_group_with_more_than_the_machine_changes_nothing(machine, limit):
    (machine / "membership").write_text("0::/user\n")
    write_group(machine, "user", V2, limit, 100, 0)
    assert memory.read_free_memory() == 800 * MIB


def test_the_limit_of_a_job_holds_for_its_steps(machine):
    (machine / "membership").write_text("0::/slurm/job_7/step_0\n")
    write_group(machine, "slurm/job_7/step_0", V2, "max", 10, 0)
    write_group(machine, "slurm/job_7", V2, 200, 40, 15)
    write_group(machine, "slurm", V2, 700, 40, 0)
    assert memory.read_free_memory() == 175 * MIB


def test_groups_of_the_first_version_are_read(machine):
    (machine / "membership").write_text("3:cpu,cpuacct:/\n2:memory:/slurm/job_7\n0::/elsewhere\n")
    write_group(machine, "memory/slurm/job_7", V1, 300, 120, 20)
    assert memory.read_free_memory() == 200 * MIB


def test_a_container_may_know_its_group_by_its_name_outside(machine):
    (machine / "membership").write_text("2:memory:/docker/4f1c\n")
    write_group(machine, "memory", V1, 300, 120, 20)
    assert memory.read_free_memory() == 200 * MIB
