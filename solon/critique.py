"""Respond -> critique -> revise: the prompts put to the model and, later in this file, the pairs that come of it."""

COMPACT_CRITIQUE = "Request: {request}\nReply: {reply}\nPrinciples: {titles}.\nDoes the reply conflict with the principles?"
COMPACT_REVISION = "Request: {request}\nReply: {reply}\nCritique: {critique}\nRewrite the reply."
NO_CONFLICT = "No conflict"
