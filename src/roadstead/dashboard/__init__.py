"""Pages for people who would rather look."""
