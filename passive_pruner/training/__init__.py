"""Training of networks: batches, gradients, epochs, several processes."""
