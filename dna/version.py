"""The version, for people, for package tools and for saved models."""

__version__ = "0.1.0"
