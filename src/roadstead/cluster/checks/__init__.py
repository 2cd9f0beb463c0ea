"""What can be known of manifests before anything runs, one module for each kind of mistake; `checking` asks all."""
