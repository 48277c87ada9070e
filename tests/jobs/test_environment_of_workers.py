import pytest

from ntk_explorer.jobs import Task, WorkerPool
from ntk_explorer.jobs.environment import child_environment, visible_gpus, worker_environments


@pytest.fixture(autouse=True)
def _no_gpus(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


@pytest.fixture
def machine_with(tmp_path, monkeypatch):
    """Makes the driver's program list so many GPUs."""

    def machine(gpus):
        program = tmp_path / "nvidia-smi"
        program.write_text("#!/bin/sh\n" + "".join(f"echo {i}\n" for i in range(gpus)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return machine


def pins(n):
    return [environment.get("CUDA_VISIBLE_DEVICES") for environment in worker_environments(n)]


def test_every_worker_has_a_gpu_of_its_own_and_more_workers_take_turns(machine_with):
    machine_with(3)
    assert pins(2) == ["0", "1"]
    assert pins(5) == ["0", "1", "2", "0", "1"]


def test_one_worker_or_one_gpu_is_left_as_it_is(machine_with):
    machine_with(3)
    assert pins(1) == [None]
    machine_with(1)
    assert pins(2) == [None, None]


def test_only_the_gpus_that_the_user_allows_are_shared_out(machine_with, monkeypatch):
    machine_with(8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a, GPU-b")
    assert pins(2) == ["GPU-a", "GPU-b"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert pins(2) == [None, None]


def test_gpus_are_not_looked_for_where_jax_may_not_use_them(machine_with, monkeypatch):
    machine_with(2)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert visible_gpus() == []


def test_a_driver_that_fails_means_no_gpus(tmp_path, monkeypatch):
    assert visible_gpus() == []
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus() == []


def test_the_users_settings_win_over_defaults_and_given_ones_over_both(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "0")
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    assert child_environment({})["JAX_ENABLE_X64"] == "0"
    assert child_environment({"JAX_ENABLE_X64": "1"})["JAX_ENABLE_X64"] == "1"
    assert child_environment({})["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"


def test_workers_are_born_with_their_variables(machine_with):
    machine_with(2)
    names = ["CUDA_VISIBLE_DEVICES", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"]
    with WorkerPool(2) as pool:
        tasks = [Task(str(i), "job_targets:variables", {"names": names, "pause": 0.5}) for i in range(2)]
        tokens = sorted(outcome.token for outcome in pool.run(tasks) if outcome)
    assert tokens == [("0", "1", "1"), ("1", "1", "1")]
