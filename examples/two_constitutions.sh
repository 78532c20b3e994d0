#!/usr/bin/env bash
# The same prompts under two constitutions, then the paired comparison of the two tuned models.
set -euo pipefail
solon run --constitution five-laws --out runs/five-laws || [ $? -eq 1 ]          # 1: a gate of the constitution failed
solon run --constitution contemplative --out runs/contemplative || [ $? -eq 1 ]
solon compare runs/five-laws runs/contemplative
