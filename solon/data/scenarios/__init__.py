"""Generators of training and evaluation data, one module each: `laws`, `probes`, `trading`, `governed`.

Each has `generate(n, constitution, seed, ...)`, deterministic by seed, with quotas that are met exactly or refused. The
texts they are composed from stand beside them as YAML.
"""
