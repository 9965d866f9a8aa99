"""Hostile inputs for all that reads files: see `benchmarks/fuzz_files.py`."""
