"""The signed log of decisions: canonical JSON, DSSE signatures, an RFC 6962 tree, signed tips, SQLite storage.

Under construction by its own builder since 04:39 (not by the builder of `solon/policy`).
"""
