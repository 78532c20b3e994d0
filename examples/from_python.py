"""Critique, revision and acceptance from Python: which of a few prompts give a pair, and why the others do not."""

import sys

from solon.constitution import load
from solon.critique.pairs import CritiqueSettings, make_pairs
from solon.data.prompts import load_builtin
from solon.models import open_model
from solon.models.base import Sampling


def main(spec: str = "nano", count: int = 8) -> None:
    """Print accepted pairs and dropped prompts."""
    prompts = [p for p in load_builtin() if p.set == "hazardous" and p.split == "train"][:count]
    short = {name: Sampling(temperature=0.0, max_new_tokens=96) for name in ("respond", "critique", "revise")}
    settings = CritiqueSettings(**short).resolved(embedded=spec == "nano")
    result = make_pairs(open_model(spec), load("five-laws"), prompts, settings)
    for pair in result.pairs:
        print(f"{pair.principle_id}: {pair.prompt[0].content}")
        print(f"  rejected: {pair.rejected[0].content}")
        print(f"  chosen:   {pair.chosen[0].content}")
    for drop in result.dropped:
        print(f"dropped ({drop.reason}): {drop.prompt}")


if __name__ == "__main__":
    main(*sys.argv[1:2])
