"""What computes: the executable specification of an engine."""
