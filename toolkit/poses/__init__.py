"""Poses out of videos, for recordings that have none: estimators, and OpenPose-style files."""
