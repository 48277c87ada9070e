"""Networks in training, their kernels at some epochs, and what regression with these kernels predicts."""
