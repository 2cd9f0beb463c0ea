"""How people ask for it: one file per command."""
