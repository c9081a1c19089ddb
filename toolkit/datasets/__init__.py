"""Data sets: which recordings exist, their labels and splits, and where their files lie."""
