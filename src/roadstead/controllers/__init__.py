"""3. What should exist: each controller is `plan(observed) -> actions`, carried out by one runner."""
