"""Fixtures that every test may ask for."""

from goldens import golden as golden
