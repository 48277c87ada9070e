"""Reading a network's program: how each parameter meets the data, without ever forming a Jacobian."""
