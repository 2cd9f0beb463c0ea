"""1. A manifest arrives: REST verbs, watch, discovery, patch and apply, tables, validation."""
