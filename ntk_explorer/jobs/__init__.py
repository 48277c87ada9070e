"""Long work in one warm process of its own, so that whoever asks never waits and never imports jax."""
