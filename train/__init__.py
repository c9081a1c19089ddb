"""Shards to a trained context-aware cross-attention model."""
