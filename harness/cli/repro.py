"""``voxtral-parity repro``: reports for upstream."""
