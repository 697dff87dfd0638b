"""What a trained model says of new rows, and how far these are from the rows that it was trained on."""
