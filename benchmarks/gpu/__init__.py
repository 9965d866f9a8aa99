"""The parts of `benchmarks/gpu_check.py`, one a file, and what they share."""
