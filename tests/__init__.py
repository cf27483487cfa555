"""Tests, in folders that mirror the code's."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout's root folder."""

QUICK_COMPILATION = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)
"""Flags of XLA with which programs compile in half the time.

Most of a test's time is compiling, and what it compiles runs for milliseconds. Of the
four, leaving the fusion emitters out matters most."""
