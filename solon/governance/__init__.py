"""What remembers and signs: registry, votes, certificates, council, kill switch, reviews, knowledge, learning, governor, replay.

The pure rules are in `solon.policy`; here they meet keys, time, files and the ledger. Anything that cannot be checked is denied.
"""
