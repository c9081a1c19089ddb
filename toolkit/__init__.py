"""Raw skeleton and video recordings become aligned 16-frame clips in HDF5 shards."""

__version__ = "0.1.0"
