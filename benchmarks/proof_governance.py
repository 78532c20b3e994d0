"""Governance proved at full counts: Byzantine schedules, kills of the ledger's writer, cuts of its file, replayed messages.

    python benchmarks/proof_governance.py [--quick]

Runs the tests of these cases with their full counts; what `make test` runs is the same code with fewer.
"""

from __future__ import annotations

import os
import subprocess
import sys

COUNCIL, STORAGE = "tests/governance/test_council_votes.py", "tests/ledger/test_ledger_storage.py"
CASES = {
    f"{COUNCIL}::test_no_two_conflicting_certificates_under_random_schedules": {"SOLON_SCHEDULES": "10000"},
    f"{STORAGE}::test_killed_at_random_points_acknowledged_is_present_exactly_once": {"SOLON_KILLS": "200"},
    f"{STORAGE}::test_cut_anywhere_is_refused": {"SOLON_CUTS": "500"},
    "tests/governance/test_replayed_messages.py": {},
}  # fmt: skip


def main() -> None:
    """Run each case; exit 1 when one fails."""
    failed = 0
    for case, counts in CASES.items():
        chosen = {} if "--quick" in sys.argv else counts
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", case],
            env={**os.environ, **chosen},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.strip().splitlines()
        print(
            f"{case} {' '.join(f'{k}={v}' for k, v in chosen.items())}: {lines[-1] if lines else done.stderr[-300:]}", flush=True
        )
        failed += done.returncode != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
