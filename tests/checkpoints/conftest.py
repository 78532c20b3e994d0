from __future__ import annotations

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Forked children could not use the threads that OpenMP made before."""
    torch.set_num_threads(1)
