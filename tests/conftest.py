"""What every test shares: examples that hypothesis draws are the same in every run, and each test is seeded.

One thread: the sizes are tiny, and threads that wait for each other on a busy machine take a hundred times as long.
"""

import os

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything loads torch, for this process and those it starts

hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=12)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    import torch

    torch.manual_seed(0)
