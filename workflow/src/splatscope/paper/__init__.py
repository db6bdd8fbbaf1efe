"""paper: the tables and figures of both papers, theirs and ours side by side."""
