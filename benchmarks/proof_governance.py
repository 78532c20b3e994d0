"""Governance proved at full counts: schedules, races, kills, cuts, replayed messages, clocks, prices, secrets, vectors.

    python benchmarks/proof_governance.py [--quick]

Runs the tests of these cases with their full counts; what `make test` runs is the same code with fewer. Seeds are in the tests:
random ones are seeded, those of hypothesis are derandomised, so that a failure comes back.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

COUNCIL, STORAGE = "tests/governance/test_council_votes.py", "tests/ledger/test_ledger_storage.py"
FORMATS, GOVERNOR = "tests/ledger/test_ledger_formats.py", "tests/governance/test_governor.py"
CASES: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("random schedules, f of 3f+1 voters signing both ways, f = 1..3: no two certificates conflict",
     f"{COUNCIL}::test_no_two_conflicting_certificates_under_random_schedules", {"SOLON_SCHEDULES": "10000"}),
    ("64 threads at a barrier never pass a limit; every decision replays",
     f"{GOVERNOR}::test_sixty_four_threads_never_pass_a_limit", {"SOLON_RACES": "100"}),
    ("every recorded message again in every later state (state machine)",
     "tests/governance/test_replayed_messages.py", {"SOLON_MESSAGES": "300"}),
    ("kill -9 of the writer at random points: acknowledged = present, exactly once",
     f"{STORAGE}::test_killed_at_random_points_acknowledged_is_present_exactly_once", {"SOLON_KILLS": "200"}),
    ("database cut at every page boundary +-1 byte and at seeded offsets: refused",
     f"{STORAGE}::test_cut_anywhere_is_refused", {"SOLON_CUTS": "500"}),
    ("old copies, lost files, other histories, edits by hand: refused",
     f"{STORAGE} -k 'old or lost or history or edits or write_ahead'", {}),
    ("jumping clocks, lying prices, odd numbers, secrets, random bytes",
     "tests/governance/test_attacks.py", {"SOLON_ATTACKS": "3000"}),
    ("the ladder under random observations: killed is left by a resume alone, no rung falls by itself",
     "tests/policy/test_ladder.py::test_killed_absorbs_without_resume_and_rungs_never_fall_by_themselves",
     {"SOLON_LADDERS": "5000"}),
    ("kill switch, review queue with floods, knowledge", "tests/governance/test_switch_review_knowledge.py", {}),
    ("registry: doubled keys, rollback, expiry, rotation (ports of TUF's cases)",
     f"{COUNCIL} -k 'registry or registries or key or altered or refused'", {}),
    ("published vectors: Wycheproof Ed25519, small-order keys, RFC 8032, 8785, 6962, DSSE",
     f"{FORMATS}", {}),
)  # fmt: skip


def main() -> None:
    """Run each case; exit 1 when one fails."""
    failed = 0
    for title, case, counts in CASES:
        chosen, start = {} if "--quick" in sys.argv else counts, time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-o", "addopts=", "--no-header", "-p", "no:cacheprovider", *shlex.split(case)],
            env={**os.environ, **chosen},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.strip().splitlines()
        said = lines[-1].strip("= ") if lines else done.stderr[-300:]
        how_many = ", ".join(f"{name.removeprefix('SOLON_').lower()} {count}" for name, count in chosen.items())
        verdict = "ok" if done.returncode == 0 else f"FAILED ({done.returncode})"
        print(f"{verdict}: {title}{f' ({how_many})' if how_many else ''}: {said}; {time.monotonic() - start:.0f} s", flush=True)
        if done.returncode:
            print("\n".join(lines[-30:]), flush=True)
        failed += done.returncode != 0
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
