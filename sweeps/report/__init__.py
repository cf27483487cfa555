"""What a person sees of a sweep: figures and the closing table."""
