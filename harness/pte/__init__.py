"""What a `.pte` says: schema, plan, delegate payload, node names, coverage, inspection.

Reads files and runs nothing: neither torch nor mlx is imported.
"""
