"""What computes: what an engine gets, and the executable specification of one."""
