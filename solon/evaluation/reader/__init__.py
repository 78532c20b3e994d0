"""A scorer that reads: a pretrained sentence encoder with a small trained adapter and heads (files beside this one)."""
