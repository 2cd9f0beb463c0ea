"""A greeter as in gRPC's own tutorials: helloworld.Greeter."""
