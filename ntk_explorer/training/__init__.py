"""Training of any network ``f(params, x)``: losses, optimisers, schedules, and checkpoints in the store."""
