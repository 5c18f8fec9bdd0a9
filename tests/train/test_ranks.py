from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from cosy.train import ranks
from tests.train import two_ranks


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.slow
def test_two_processes_with_half_the_batch_are_one_with_the_whole(tmp_path: Path) -> None:
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, two_ranks.__file__, str(tmp_path / "two"), str(two_ranks.WHOLE // 2)]
    processes = [
        subprocess.Popen(command, env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    two_ranks.train(tmp_path / "one", two_ranks.WHOLE)
    one, two = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("one", "two"))
    assert (len(one["ranks"]), len(two["ranks"])) == (1, 2)
    for key, value in one["network"].items():
        torch.testing.assert_close(two["network"][key], value, rtol=1e-5, atol=1e-6)
    assert len((tmp_path / "two" / "log.jsonl").read_text().splitlines()) == 0  # fewer steps than a row needs


def test_alone_there_is_nothing_to_agree_on() -> None:
    parameter = torch.nn.Parameter(torch.ones(1))
    ranks.average_gradients([parameter])
    assert (ranks.size(), ranks.rank(), parameter.grad) == (1, 0, None)
    assert ranks.greatest([1.0, True]) == [1.0, True]
    assert ranks.gathered("x") == ["x"]


def test_a_process_alone_joins_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with ranks.joined("cpu") as device:
        assert device == "cpu"
        assert not torch.distributed.is_initialized()
