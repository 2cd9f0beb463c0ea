"""6. A request lands: what service authors import. Needs grpcio and little else."""
