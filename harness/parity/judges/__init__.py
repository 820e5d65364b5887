"""Judgements: pure functions of values, which need neither torch nor an executor."""
