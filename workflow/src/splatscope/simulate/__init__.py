"""Stage simulate: a scenario and a seed become an operation on simulated tissue, and frames with exact labels."""
