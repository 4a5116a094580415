"""One file a unit; the folder mirrors hwgen."""
