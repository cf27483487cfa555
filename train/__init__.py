"""Training: one jit-compiled loop around any router."""
