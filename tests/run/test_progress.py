"""What a long run shows: counts, rates, and the time left."""

from __future__ import annotations

import pytest

from solon.run import progress
from solon.run.progress import Reporter
from solon.run.tune import _show


class Clock:
    """Seconds that pass only when the test says so."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_time_left_is_at_the_rate_since_the_first_count(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().bar("evaluate", 100) as bar:
        clock.now = 60  # loading
        bar.advance(10, 300)
        clock.now = 90
        bar.advance(10, 300)
        bar.spare(20)
        clock.now = 120
        bar.advance(10, 300)
    err = capsys.readouterr().err
    assert "evaluate: 20/100 replies, 0.22 replies/s, 7 tokens/s, about 4 min left" in err  # 80 more at 10 in 30 s
    assert "evaluate: 30/80 replies, 0.25 replies/s, 8 tokens/s, about 2 min left" in err  # 50 more at 20 in 60 s
    assert "evaluate: 30 replies" in err


def test_training_names_its_steps_when_it_knows_them(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Reporter().bar("SFT", 0, "steps") as bar:
        show = _show(bar)
        for step in (1, 2):
            clock.now += 30
            show(step, 4, {"loss": 0.5})
        assert bar._progress.tasks[0].total == 4
    assert "SFT: 2/4 steps, 0.03 steps/s, loss 0.500, about 60 s left" in capsys.readouterr().err
