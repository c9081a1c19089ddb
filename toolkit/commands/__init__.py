"""The commands of ``ctxtool``: options and help, one call into the library each."""
