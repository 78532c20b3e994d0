#!/usr/bin/env bash
# A server generates, a local folder is trained. Usage: served_model.sh http://localhost:8000/v1#name FOLDER
set -euo pipefail
solon estimate --model "$1" --train-model "$2" --constitution contemplative --max-prompts 100
solon run --model "$1" --train-model "$2" --constitution contemplative --max-prompts 100 --out runs/served
