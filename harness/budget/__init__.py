"""What may differ: allowances by method and precision, with where each number comes from."""
