"""Batch rewriting: tables in parts by several processes, and a class for pipelines."""

from __future__ import annotations

from arae_transfer.batch.rewrite_batch import RewriteBatch

__all__ = ["RewriteBatch"]
