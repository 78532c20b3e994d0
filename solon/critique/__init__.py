"""Respond -> critique -> revise -> accepted pairs. `forms` holds the prompts, `pairs` the dialogues and the acceptance filter."""

from solon.critique.forms import COMPACT_CRITIQUE, COMPACT_REVISION, NO_CONFLICT

__all__ = ["COMPACT_CRITIQUE", "COMPACT_REVISION", "NO_CONFLICT"]
