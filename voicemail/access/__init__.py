"""The ways in beside the telephone."""
