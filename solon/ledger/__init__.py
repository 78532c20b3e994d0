"""The signed log of decisions: canonical JSON, DSSE signatures, an RFC 6962 tree, signed tips, SQLite storage.

    key = PrivateKey.generate("ledger")
    with Ledger.open("decisions.db", key) as ledger:
        index = ledger.append("decision", {"outcome": "deny"})      # durable when it returns
    verify_file("decisions.db", key.public)                         # every byte hashed again

What it can and cannot do: whoever holds an older tip detects any rewriting. Someone who holds the key, the database and every
copy of the tip can rewrite all of them; only a tip kept under another key holder prevents that.
"""

from solon.ledger.canonical import NotCanonical, canonical, digest
from solon.ledger.checkpoint import Checkpoint
from solon.ledger.dsse import Envelope, seal
from solon.ledger.keys import KeyRefused, PrivateKey, PublicKey, read_private, read_public, write_pair
from solon.ledger.proofs import Report, check_consistency, check_proof, consistency, export, prove, verify, verify_file
from solon.ledger.storage import AlreadyUsed, Entry, Ledger, LedgerClosed

__all__ = [
    "AlreadyUsed",
    "Checkpoint",
    "Entry",
    "Envelope",
    "KeyRefused",
    "Ledger",
    "LedgerClosed",
    "NotCanonical",
    "PrivateKey",
    "PublicKey",
    "Report",
    "canonical",
    "check_consistency",
    "check_proof",
    "consistency",
    "digest",
    "export",
    "prove",
    "read_private",
    "read_public",
    "seal",
    "verify",
    "verify_file",
    "write_pair",
]
