"""Everything that survives a crash. Knows nothing of telephones."""
