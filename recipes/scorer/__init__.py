"""How the reading scorer was made, repeatable: labelled replies, recombination, training, measuring."""
