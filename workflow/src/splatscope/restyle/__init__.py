"""Restyling: frames that look real, labels kept."""
