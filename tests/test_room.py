"""Memory is asked for before it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unalike import room
from unalike.embeddings import embed
from unalike.errors import NotEnoughMemory, UnalikeError
from unalike.scorers import KNN, searching


def group(folder: Path, limit: str) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text("600\n")
    (folder / "memory.stat").write_text("anon 400\ninactive_file 150\n")
    return folder


def test_the_smaller_of_machine_and_container_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = tmp_path / "meminfo"
    told.write_text("MemTotal:       9000 kB\nMemAvailable:   4 kB\n")
    monkeypatch.setattr(room, "_MEMINFO", told)
    monkeypatch.setattr(room, "_GROUP", group(tmp_path, "1000"))
    assert room.available() == 1000 - 600 + 150
    group(tmp_path, "max")
    assert room.available() == 4096
    group(tmp_path, "500")
    assert room.available() == 50
    monkeypatch.setattr(room, "_GROUP", tmp_path / "nowhere")
    assert room.available() == 4096
    monkeypatch.setattr(room, "_MEMINFO", tmp_path / "nowhere")
    assert room.available() is None
    room.need_room(1e30, "All", "Nothing.")


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available", lambda: 3 * 2**30)
    room.need_room(3 * 2**30, "This", "Less.")
    with pytest.raises(
        NotEnoughMemory, match=r"This must fit into memory; it takes about 3\.5 GiB, and 3 GiB are free"
    ):
        room.need_room(3.5 * 2**30, "This", "Less.")
    assert issubclass(NotEnoughMemory, UnalikeError)
    assert issubclass(NotEnoughMemory, MemoryError)


def test_embeddings_are_refused_after_the_first_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "available", lambda: 2 * 90 * 8 * 4 - 1)
    asked: list[int] = []

    def load(positions: np.ndarray) -> torch.Tensor:
        asked.append(len(positions))
        return torch.zeros(len(positions), 8)

    with pytest.raises(NotEnoughMemory, match="100 embeddings of width 8 must fit"):
        embed(nn.Identity(), load, 100, device=torch.device("cpu"), chunk=10)
    assert asked == [10]
    assert embed(nn.Identity(), load, 99, device=torch.device("cpu"), chunk=10).shape == (99, 8)


def test_a_bank_states_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More rows take more, up to the bounds of what an exact search prepares; codes take less than prepared rows."""
    assert KNN(search="exact").bytes(10**6, 128) > 10**6 * 128 * 8
    assert KNN(search="approximate").bytes(10**6, 128) < KNN(search="exact").bytes(10**6, 128)
    assert KNN(most_rows=1000).bytes(10**6, 128) == KNN().bytes(1000, 128)
    assert KNN(search="exact").bytes(10**9, 128) < 10**9 * 128 * 4 + 2**31
    monkeypatch.setattr(room, "available", lambda: 2**20)
    bank = np.random.default_rng(0).normal(size=(2000, 4))
    KNN().fit(bank)
    monkeypatch.setattr(searching, "_UNASKED", 0)
    with pytest.raises(NotEnoughMemory, match=r"a bank of 2,000 rows of width 4 must fit.*KNN\(most_rows=\.\.\.\)"):
        KNN().fit(bank)
