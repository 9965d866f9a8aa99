"""The parts of `study_extinction.py`: rows of settings, their training, tables and pictures."""
