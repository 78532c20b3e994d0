"""Supervised fine-tuning and direct preference optimisation on one loop (`transformers.Trainer`).

Light to import: `config` and `plan` need no torch. The two doors are `sft.train_sft` and `dpo.train_dpo`.
"""
