"""How a network is fitted: batches, gradients, epochs, several processes."""
