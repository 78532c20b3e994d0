"""Solon: a written constitution, made into trained models, measurements and a runtime that holds agents to it."""

__version__ = "0.1.0"
