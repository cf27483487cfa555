"""Tests, in folders that mirror the code's."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout's root folder."""
